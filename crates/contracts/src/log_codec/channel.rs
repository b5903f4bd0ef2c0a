//! Encodes and decodes facts about notification channels.

use keeptrusts_webhooks_domain::channel::{
    ChannelConfig, ChannelFact, ChannelKind, ChannelPatch, Destination,
};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::notification::NotificationType;

use super::error::DecodeError;
use super::notification::notification_type;
use super::values::{all_parsed, required, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;

impl From<&ChannelFact> for Message {
    fn from(fact: &ChannelFact) -> Self {
        match fact {
            ChannelFact::Created(config) => Message::ChannelCreated(pb::ChannelCreated {
                display_name: config.display_name.clone(),
                destination: Some((&config.destination).into()),
                subscriptions: numbers(&config.subscriptions),
                endpoint_ids: texts(&config.endpoint_ids),
            }),
            ChannelFact::Updated { patch, before } => {
                let before = (!before.is_empty()).then(|| before.into());
                Message::ChannelUpdated(pb::ChannelUpdated { before, ..patch.into() })
            }
            ChannelFact::Deleted => Message::ChannelDeleted(pb::ChannelDeleted {}),
            ChannelFact::Failing { reason } => {
                Message::ChannelFailing(pb::ChannelFailing { reason: reason.clone() })
            }
            ChannelFact::Recovered => Message::ChannelRecovered(pb::ChannelRecovered {}),
        }
    }
}

pub(super) fn decode(message: Message) -> Result<ChannelFact, DecodeError> {
    Ok(match message {
        Message::ChannelCreated(created) => ChannelFact::Created(ChannelConfig {
            display_name: created.display_name,
            destination: required("destination", created.destination)?.try_into()?,
            subscriptions: types(&created.subscriptions)?,
            endpoint_ids: all_parsed("endpoint_ids", &created.endpoint_ids)?,
        }),
        Message::ChannelUpdated(mut updated) => ChannelFact::Updated {
            before: updated.before.take().unwrap_or_default().try_into()?,
            patch: updated.try_into()?,
        },
        Message::ChannelDeleted(pb::ChannelDeleted {}) => ChannelFact::Deleted,
        Message::ChannelFailing(failing) => ChannelFact::Failing { reason: failing.reason },
        Message::ChannelRecovered(pb::ChannelRecovered {}) => ChannelFact::Recovered,
        _ => return Err(DecodeError::WrongStream),
    })
}

/// Converts ChannelUpdated and ChannelBefore, which both have the fields of a patch.
macro_rules! patches {
    ($($message:ident [$($other:ident)?];)*) => {
        $(impl From<&ChannelPatch> for pb::$message {
            fn from(patch: &ChannelPatch) -> Self {
                pb::$message {
                    display_name: patch.display_name.clone(),
                    destination: patch.destination.as_ref().map(Into::into),
                    subscriptions: numbers(patch.subscriptions.as_deref().unwrap_or_default()),
                    endpoints: endpoints(patch.endpoint_ids.as_deref()),
                    $($other: None,)?
                }
            }
        }

        impl TryFrom<pb::$message> for ChannelPatch {
            type Error = DecodeError;

            fn try_from(message: pb::$message) -> Result<Self, DecodeError> {
                Ok(ChannelPatch {
                    display_name: message.display_name,
                    destination: message.destination.map(TryInto::try_into).transpose()?,
                    subscriptions: some_types(&message.subscriptions)?,
                    endpoint_ids: message
                        .endpoints
                        .map(|endpoints| all_parsed("endpoints", &endpoints.endpoint_ids))
                        .transpose()?,
                })
            }
        })*
    };
}

patches! {
    ChannelUpdated [before];
    ChannelBefore [];
}

/// A channel always has a subscription, so an empty list means that the patch does not set the field.
fn some_types(numbers: &[i32]) -> Result<Option<Vec<NotificationType>>, DecodeError> {
    let types = types(numbers)?;
    Ok((!types.is_empty()).then_some(types))
}

impl From<&Destination> for pb::ChannelDestination {
    fn from(destination: &Destination) -> Self {
        let kind = match destination.kind {
            ChannelKind::Slack => pb::ChannelKind::Slack,
            ChannelKind::Teams => pb::ChannelKind::Teams,
            ChannelKind::PagerDuty => pb::ChannelKind::Pagerduty,
            ChannelKind::Webhook => pb::ChannelKind::Webhook,
            ChannelKind::Email => pb::ChannelKind::Email,
        };
        pb::ChannelDestination {
            kind: kind.into(),
            address: destination.address.clone(),
            secret: destination.secret.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::ChannelDestination> for Destination {
    type Error = DecodeError;

    fn try_from(message: pb::ChannelDestination) -> Result<Self, DecodeError> {
        let kind = match message.kind() {
            pb::ChannelKind::Slack => ChannelKind::Slack,
            pb::ChannelKind::Teams => ChannelKind::Teams,
            pb::ChannelKind::Pagerduty => ChannelKind::PagerDuty,
            pb::ChannelKind::Webhook => ChannelKind::Webhook,
            pb::ChannelKind::Email => ChannelKind::Email,
            pb::ChannelKind::Unspecified => return Err(wrong("kind", "is not one that is known")),
        };
        let secret = message.secret.map(TryInto::try_into).transpose()?;
        Ok(Destination { kind, address: message.address, secret })
    }
}

fn numbers(types: &[NotificationType]) -> Vec<i32> {
    types.iter().map(|kind| pb::NotificationType::from(*kind).into()).collect()
}

fn types(numbers: &[i32]) -> Result<Vec<NotificationType>, DecodeError> {
    numbers.iter().map(|number| notification_type(*number)).collect()
}

fn texts(ids: &[EndpointId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn endpoints(ids: Option<&[EndpointId]>) -> Option<pb::ChannelEndpoints> {
    ids.map(|ids| pb::ChannelEndpoints { endpoint_ids: texts(ids) })
}

//! Facts about notification channels.

use keeptrusts_webhooks_domain::channel::{
    ChannelFact, ChannelKind, ChannelUpdate, Destination, NewChannel,
};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::notification::NotificationType;

use super::DecodeError;
use super::notification::notification_type;
use super::values::{all_parsed, required, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;

impl From<&ChannelFact> for Message {
    fn from(fact: &ChannelFact) -> Self {
        match fact {
            ChannelFact::Created(new) => Message::ChannelCreated(pb::ChannelCreated {
                name: new.name.clone(),
                destination: Some((&new.destination).into()),
                subscriptions: numbers(&new.subscriptions),
                endpoint_ids: texts(&new.endpoint_ids),
            }),
            ChannelFact::Updated { update, before } => {
                let before = (*before != ChannelUpdate::default()).then(|| pb::ChannelBefore {
                    name: before.name.clone(),
                    destination: before.destination.as_ref().map(Into::into),
                    subscriptions: numbers(before.subscriptions.as_deref().unwrap_or_default()),
                    endpoints: endpoints(before.endpoint_ids.as_deref()),
                });
                Message::ChannelUpdated(pb::ChannelUpdated {
                    name: update.name.clone(),
                    destination: update.destination.as_ref().map(Into::into),
                    subscriptions: numbers(update.subscriptions.as_deref().unwrap_or_default()),
                    endpoints: endpoints(update.endpoint_ids.as_deref()),
                    before,
                })
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
        Message::ChannelCreated(created) => ChannelFact::Created(NewChannel {
            name: created.name,
            destination: required("destination", created.destination)?.try_into()?,
            subscriptions: types(&created.subscriptions)?,
            endpoint_ids: all_parsed("endpoint_ids", &created.endpoint_ids)?,
        }),
        Message::ChannelUpdated(updated) => {
            let before = updated.before.unwrap_or_default();
            ChannelFact::Updated {
                update: update(
                    updated.name,
                    updated.destination,
                    &updated.subscriptions,
                    updated.endpoints,
                )?,
                before: update(
                    before.name,
                    before.destination,
                    &before.subscriptions,
                    before.endpoints,
                )?,
            }
        }
        Message::ChannelDeleted(pb::ChannelDeleted {}) => ChannelFact::Deleted,
        Message::ChannelFailing(failing) => ChannelFact::Failing { reason: failing.reason },
        Message::ChannelRecovered(pb::ChannelRecovered {}) => ChannelFact::Recovered,
        _ => return Err(DecodeError::WrongStream),
    })
}

fn update(
    name: Option<String>,
    destination: Option<pb::ChannelDestination>,
    subscriptions: &[i32],
    endpoints: Option<pb::ChannelEndpoints>,
) -> Result<ChannelUpdate, DecodeError> {
    // A channel always has a subscription: none means that they are not told.
    let subscriptions = types(subscriptions)?;
    let ids = |endpoints: pb::ChannelEndpoints| all_parsed("endpoints", &endpoints.endpoint_ids);
    Ok(ChannelUpdate {
        name,
        destination: destination.map(TryInto::try_into).transpose()?,
        subscriptions: (!subscriptions.is_empty()).then_some(subscriptions),
        endpoint_ids: endpoints.map(ids).transpose()?,
    })
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

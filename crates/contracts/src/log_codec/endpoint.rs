//! Encodes and decodes facts about endpoints.

use super::error::DecodeError;
use super::values::{all_parsed, optional_timestamp, parsed, required, timestamp, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::timestamp_to_proto;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::payload_format::{MissingPart, PayloadFormat, PayloadKind};
use keeptrusts_webhooks_domain::secret::SealedSecret;

impl From<&EndpointFact> for Message {
    fn from(fact: &EndpointFact) -> Self {
        match fact {
            EndpointFact::Created { config, secret } => {
                Message::EndpointCreated(pb::EndpointCreated {
                    display_name: config.display_name.clone(),
                    url: config.url.clone(),
                    description: config.description.clone(),
                    event_types: names(&config.event_types),
                    secret: Some(secret.into()),
                    // Absent for our own format, as in records from before there were others.
                    payload_format: (config.payload_format.kind() != PayloadKind::Keeptrusts)
                        .then(|| encode_format(&config.payload_format, Some)),
                })
            }
            EndpointFact::Updated { patch, secret, before } => {
                let before = (!before.is_empty()).then(|| pb::EndpointBefore::from(before));
                let secret = secret.as_ref().map(Into::into);
                Message::EndpointUpdated(pb::EndpointUpdated { secret, before, ..patch.into() })
            }
            EndpointFact::SecretRotated { secret, previous_expire_time } => {
                Message::EndpointSecretRotated(pb::EndpointSecretRotated {
                    secret: Some(secret.into()),
                    previous_expire_time: previous_expire_time.map(timestamp_to_proto),
                })
            }
            EndpointFact::Enabled => Message::EndpointEnabled(pb::EndpointEnabled {}),
            EndpointFact::Disabled { reason, cause } => {
                Message::EndpointDisabled(disabled(reason.clone(), *cause))
            }
            EndpointFact::Degraded { delivery_id, reason } => {
                Message::EndpointDegraded(pb::EndpointDegraded {
                    delivery_id: delivery_id.to_string(),
                    reason: reason.clone(),
                })
            }
            EndpointFact::Recovered { delivery_id } => {
                Message::EndpointRecovered(pb::EndpointRecovered {
                    delivery_id: delivery_id.to_string(),
                })
            }
            EndpointFact::Deleted => Message::EndpointDeleted(pb::EndpointDeleted {}),
            EndpointFact::SecretRevealed => {
                Message::EndpointSecretRevealed(pb::EndpointSecretRevealed {})
            }
        }
    }
}

pub(super) fn decode(message: Message) -> Result<EndpointFact, DecodeError> {
    Ok(match message {
        Message::EndpointCreated(created) => EndpointFact::Created {
            config: EndpointConfig {
                event_types: all_parsed("event_types", &created.event_types)?,
                display_name: created.display_name,
                url: created.url,
                description: created.description,
                payload_format: match created.payload_format {
                    Some(format) => decode_format(format)?,
                    None => PayloadFormat::Keeptrusts,
                },
            },
            secret: required("secret", created.secret)?.try_into()?,
        },
        Message::EndpointUpdated(mut updated) => EndpointFact::Updated {
            before: updated.before.take().unwrap_or_default().try_into()?,
            secret: updated.secret.take().map(TryInto::try_into).transpose()?,
            patch: updated.try_into()?,
        },
        Message::EndpointSecretRotated(rotated) => EndpointFact::SecretRotated {
            secret: required("secret", rotated.secret)?.try_into()?,
            previous_expire_time: optional_timestamp(
                "previous_expire_time",
                rotated.previous_expire_time,
            )?,
        },
        Message::EndpointEnabled(pb::EndpointEnabled {}) => EndpointFact::Enabled,
        Message::EndpointDisabled(disabled) => {
            EndpointFact::Disabled { cause: disable_cause(&disabled)?, reason: disabled.reason }
        }
        Message::EndpointDegraded(degraded) => EndpointFact::Degraded {
            delivery_id: parsed("delivery_id", &degraded.delivery_id)?,
            reason: degraded.reason,
        },
        Message::EndpointRecovered(recovered) => {
            EndpointFact::Recovered { delivery_id: parsed("delivery_id", &recovered.delivery_id)? }
        }
        Message::EndpointDeleted(pb::EndpointDeleted {}) => EndpointFact::Deleted,
        Message::EndpointSecretRevealed(pb::EndpointSecretRevealed {}) => {
            EndpointFact::SecretRevealed
        }
        _ => return Err(DecodeError::WrongStream),
    })
}

/// Converts EndpointUpdated and EndpointBefore, which both have the fields of a patch.
macro_rules! patches {
    ($($message:ident [$($other:ident),*] has $format:ty: $encode:expr, $decode:expr;)*) => {
        $(impl From<&EndpointPatch<$format>> for pb::$message {
            fn from(patch: &EndpointPatch<$format>) -> Self {
                pb::$message {
                    display_name: patch.display_name.clone(),
                    url: patch.url.clone(),
                    description: patch.description.clone(),
                    event_types: names(patch.event_types.as_deref().unwrap_or_default()),
                    payload_format: patch.payload_format.as_ref().map($encode),
                    $($other: None,)*
                }
            }
        }

        impl TryFrom<pb::$message> for EndpointPatch<$format> {
            type Error = DecodeError;

            fn try_from(message: pb::$message) -> Result<Self, DecodeError> {
                Ok(EndpointPatch {
                    display_name: message.display_name,
                    url: message.url,
                    description: message.description,
                    event_types: some_types(&message.event_types)?,
                    payload_format: message.payload_format.map($decode).transpose()?,
                })
            }
        })*
    };
}

patches! {
    EndpointUpdated [secret, before] has PayloadFormat: |format| encode_format(format, Some), decode_format;
    EndpointBefore [] has PayloadFormat<()>:
        |format| encode_format(format, |()| None), |format| decode_format_with(format, Some(()));
}

fn disabled(reason: String, cause: DisableCause) -> pb::EndpointDisabled {
    let (kind, delivery_id, since) = match cause {
        DisableCause::Requested => (pb::DisableCause::Unspecified, None, None),
        DisableCause::FailedTooLong { delivery_id, since } => {
            (pb::DisableCause::FailedTooLong, Some(delivery_id), Some(since))
        }
        DisableCause::Gone { delivery_id } => (pb::DisableCause::Gone, Some(delivery_id), None),
    };
    pb::EndpointDisabled {
        reason,
        cause: kind.into(),
        delivery_id: delivery_id.map(|id| id.to_string()).unwrap_or_default(),
        failing_since: since.map(timestamp_to_proto),
    }
}

fn disable_cause(disabled: &pb::EndpointDisabled) -> Result<DisableCause, DecodeError> {
    let delivery_id = || parsed("delivery_id", &disabled.delivery_id);
    Ok(match disabled.cause() {
        pb::DisableCause::Unspecified => DisableCause::Requested,
        pb::DisableCause::FailedTooLong => DisableCause::FailedTooLong {
            delivery_id: delivery_id()?,
            since: timestamp("failing_since", disabled.failing_since)?,
        },
        pb::DisableCause::Gone => DisableCause::Gone { delivery_id: delivery_id()? },
    })
}

fn encode_format<'a, K>(
    format: &'a PayloadFormat<K>,
    sealed: impl Fn(&'a K) -> Option<&'a SealedSecret>,
) -> pb::PayloadFormat {
    pb::PayloadFormat {
        kind: format.kind().name().to_owned(),
        template: format.template().map(str::to_owned),
        routing_key: format.routing_key().and_then(sealed).map(Into::into),
    }
}

fn decode_format(mut format: pb::PayloadFormat) -> Result<PayloadFormat, DecodeError> {
    let routing_key = format.routing_key.take().map(SealedSecret::try_from).transpose()?;
    decode_format_with(format, routing_key)
}

fn decode_format_with<K>(
    format: pb::PayloadFormat,
    routing_key: Option<K>,
) -> Result<PayloadFormat<K>, DecodeError> {
    let kind = parsed("payload_format.kind", &format.kind)?;
    let format = PayloadFormat::new(kind, format.template, routing_key);
    format.map_err(|missing| match missing {
        MissingPart::Template => wrong("payload_format.template", "is missing"),
        MissingPart::RoutingKey => wrong("payload_format.routing_key", "is missing"),
    })
}

/// An endpoint always has an event type, so an empty list means that the patch does not set the field.
fn some_types(names: &[String]) -> Result<Option<Vec<EventType>>, DecodeError> {
    let event_types: Vec<EventType> = all_parsed("event_types", names)?;
    Ok((!event_types.is_empty()).then_some(event_types))
}

fn names(event_types: &[EventType]) -> Vec<String> {
    event_types.iter().map(|event_type| event_type.name().to_owned()).collect()
}

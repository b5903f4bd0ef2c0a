//! Facts about endpoints.

use super::DecodeError;
use super::values::{all_parsed, optional_timestamp, parsed, required, timestamp, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::timestamp_to_proto;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{EndpointFact, EndpointUpdate};
use keeptrusts_webhooks_domain::health::DisableCause;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, PayloadKind};
use keeptrusts_webhooks_domain::secret::SealedSecret;

impl From<&EndpointFact> for Message {
    fn from(fact: &EndpointFact) -> Self {
        match fact {
            EndpointFact::Created {
                name,
                url,
                description,
                event_types,
                secret,
                payload_format,
            } => Message::EndpointCreated(pb::EndpointCreated {
                name: name.clone(),
                url: url.clone(),
                description: description.clone(),
                event_types: names(event_types),
                secret: Some(secret.into()),
                // As in records of before there were others.
                payload_format: (payload_format.kind() != PayloadKind::Keeptrusts)
                    .then(|| encode_format(payload_format, Some)),
            }),
            EndpointFact::Updated { update, before, payload_before } => {
                Message::EndpointUpdated(pb::EndpointUpdated {
                    name: update.name.clone(),
                    url: update.url.clone(),
                    description: update.description.clone(),
                    event_types: names(update.event_types.as_deref().unwrap_or_default()),
                    secret: update.secret.as_ref().map(Into::into),
                    before: (*before != EndpointUpdate::default() || payload_before.is_some())
                        .then(|| pb::EndpointBefore {
                            name: before.name.clone(),
                            url: before.url.clone(),
                            description: before.description.clone(),
                            event_types: names(before.event_types.as_deref().unwrap_or_default()),
                            payload_format: payload_before
                                .as_ref()
                                .map(|format| encode_format(format, |()| None)),
                        }),
                    payload_format: update
                        .payload_format
                        .as_deref()
                        .map(|format| encode_format(format, Some)),
                })
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
            event_types: all_parsed("event_types", &created.event_types)?,
            name: created.name,
            url: created.url,
            description: created.description,
            secret: required("secret", created.secret)?.try_into()?,
            payload_format: match created.payload_format {
                Some(format) => decode_format(format)?,
                None => PayloadFormat::Keeptrusts,
            },
        },
        Message::EndpointUpdated(updated) => {
            let before = updated.before.unwrap_or_default();
            EndpointFact::Updated {
                update: EndpointUpdate {
                    name: updated.name,
                    url: updated.url,
                    description: updated.description,
                    event_types: some_types(&updated.event_types)?,
                    secret: updated.secret.map(TryInto::try_into).transpose()?,
                    payload_format: updated
                        .payload_format
                        .map(|format| decode_format(format).map(Box::new))
                        .transpose()?,
                },
                before: EndpointUpdate {
                    name: before.name,
                    url: before.url,
                    description: before.description,
                    event_types: some_types(&before.event_types)?,
                    secret: None,
                    payload_format: None,
                },
                payload_before: before
                    .payload_format
                    .map(|format| decode_format_with(format, |_| Some(())))
                    .transpose()?,
            }
        }
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

fn disabled(reason: String, cause: DisableCause) -> pb::EndpointDisabled {
    let (kind, delivery_id, since) = match cause {
        DisableCause::Requested => (pb::DisableCause::Unspecified, None, None),
        DisableCause::Failing { delivery_id, since } => {
            (pb::DisableCause::Failing, Some(delivery_id), Some(since))
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
        pb::DisableCause::Failing => DisableCause::Failing {
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

fn decode_format(format: pb::PayloadFormat) -> Result<PayloadFormat, DecodeError> {
    let routing_key = format.routing_key.clone().map(SealedSecret::try_from).transpose()?;
    decode_format_with(format, |_| routing_key)
}

fn decode_format_with<K>(
    format: pb::PayloadFormat,
    routing_key: impl FnOnce(Option<pb::SealedSecret>) -> Option<K>,
) -> Result<PayloadFormat<K>, DecodeError> {
    Ok(match parsed("payload_format.kind", &format.kind)? {
        PayloadKind::Keeptrusts => PayloadFormat::Keeptrusts,
        PayloadKind::Slack => PayloadFormat::Slack,
        PayloadKind::Teams => PayloadFormat::Teams,
        PayloadKind::CloudEvents => PayloadFormat::CloudEvents,
        PayloadKind::PagerDuty => PayloadFormat::PagerDuty {
            routing_key: routing_key(format.routing_key)
                .ok_or_else(|| wrong("payload_format.routing_key", "is missing"))?,
        },
        PayloadKind::Custom => PayloadFormat::Custom {
            template: required("payload_format.template", format.template)?,
        },
    })
}

/// An endpoint always has a type: none means that they are not told.
fn some_types(names: &[String]) -> Result<Option<Vec<EventType>>, DecodeError> {
    let event_types: Vec<EventType> = all_parsed("event_types", names)?;
    Ok((!event_types.is_empty()).then_some(event_types))
}

fn names(event_types: &[EventType]) -> Vec<String> {
    event_types.iter().map(|event_type| event_type.name().to_owned()).collect()
}

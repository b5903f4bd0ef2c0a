//! Encodes and decodes facts about events.

use keeptrusts_webhooks_domain::event::{Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::fact::{DeliveriesScheduled, EventAccepted, Fact};

use super::error::DecodeError;
use super::values::{all_parsed, digest, exactly, optional_timestamp, parsed, timestamp, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::timestamp_to_proto;

impl From<&EventAccepted> for Message {
    fn from(fact: &EventAccepted) -> Self {
        let (idempotency_key, request_sha256) = match &fact.idempotency {
            Some(Idempotency { key, request_sha256 }) => {
                (key.as_str().to_owned(), request_sha256.to_vec())
            }
            None => (String::new(), Vec::new()),
        };
        Message::EventAccepted(pb::EventAccepted {
            event_type: fact.event_type.name().to_owned(),
            event_time: Some(timestamp_to_proto(fact.event_time)),
            body: Some(fact.body.into()),
            idempotency_key,
            request_sha256,
            is_routed: fact.is_routed,
        })
    }
}

impl From<&DeliveriesScheduled> for Message {
    fn from(fact: &DeliveriesScheduled) -> Self {
        let deliveries =
            fact.deliveries.iter().map(|(delivery_id, endpoint_id)| pb::ScheduledDelivery {
                delivery_id: delivery_id.to_string(),
                endpoint_id: endpoint_id.to_string(),
            });
        Message::DeliveriesScheduled(pb::DeliveriesScheduled {
            deliveries: deliveries.collect(),
            missed_endpoint_ids: fact.missed.iter().map(ToString::to_string).collect(),
            event_type: fact.event_type.name().to_owned(),
            event_time: fact.event_time.map(timestamp_to_proto),
        })
    }
}

pub(super) fn decode(message: Message) -> Result<Fact, DecodeError> {
    match message {
        Message::EventAccepted(accepted) => Ok(Fact::EventAccepted(EventAccepted {
            event_type: parsed("event_type", &accepted.event_type)?,
            event_time: timestamp("event_time", accepted.event_time)?,
            body: digest("body", accepted.body)?,
            idempotency: idempotency(accepted.idempotency_key, accepted.request_sha256)?,
            is_routed: accepted.is_routed,
        })),
        Message::DeliveriesScheduled(scheduled) => {
            let ids = |delivery: &pb::ScheduledDelivery| {
                let delivery_id = parsed("delivery_id", &delivery.delivery_id)?;
                Ok::<_, DecodeError>((delivery_id, parsed("endpoint_id", &delivery.endpoint_id)?))
            };
            Ok(Fact::DeliveriesScheduled(DeliveriesScheduled {
                event_type: parsed("event_type", &scheduled.event_type)?,
                event_time: optional_timestamp("event_time", scheduled.event_time)?,
                deliveries: scheduled.deliveries.iter().map(ids).collect::<Result<_, _>>()?,
                missed: all_parsed("missed_endpoint_ids", &scheduled.missed_endpoint_ids)?,
            }))
        }
        _ => Err(DecodeError::WrongStream),
    }
}

fn idempotency(key: String, request_sha256: Vec<u8>) -> Result<Option<Idempotency>, DecodeError> {
    let key = IdempotencyKey::optional(key)
        .map_err(|violation| wrong("idempotency_key", violation.description))?;
    let with_digest = |key| {
        let request_sha256 = exactly("request_sha256", request_sha256)?;
        Ok(Idempotency { key, request_sha256 })
    };
    key.map(with_digest).transpose()
}

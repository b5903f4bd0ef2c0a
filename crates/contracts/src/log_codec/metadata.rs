//! Who caused a record, and what it belongs to.

use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::trace::TraceContext;
use prost::Message;

use super::DecodeError;
use super::values::parsed;
use crate::log::v1 as pb;

/// The `metadata` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The service or person that caused it, for example `ingest`.
    pub actor: String,
    /// What ties records to one story: the event's id, or the endpoint's.
    pub correlation_id: String,
    /// The record, in the same shard, that this one follows from.
    pub causation: Option<Position>,
    /// Where it hangs in its trace.
    pub trace: Option<TraceContext>,
}

impl Metadata {
    /// A RecordMetadata message.
    pub fn encode(&self) -> Vec<u8> {
        let message = pb::RecordMetadata {
            actor: self.actor.clone(),
            correlation_id: self.correlation_id.clone(),
            causation_position: self.causation.unwrap_or(Position::START).0,
            traceparent: self.trace.map(|trace| trace.to_string()).unwrap_or_default(),
        };
        message.encode_to_vec()
    }

    /// What a RecordMetadata message says.
    pub fn decode(bytes: &[u8]) -> Result<Metadata, DecodeError> {
        let message = pb::RecordMetadata::decode(bytes)?;
        let causation = Position(message.causation_position);
        let trace = match message.traceparent.as_str() {
            "" => None,
            traceparent => Some(parsed("traceparent", traceparent)?),
        };
        Ok(Metadata {
            actor: message.actor,
            correlation_id: message.correlation_id,
            // No record stands at the start, so that 0 can say that there is none.
            causation: (causation != Position::START).then_some(causation),
            trace,
        })
    }
}

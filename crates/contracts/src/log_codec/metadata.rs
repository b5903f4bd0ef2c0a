//! Who caused a record, and what it belongs to.

use std::net::IpAddr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::trace::TraceContext;
use prost::Message;

use super::error::DecodeError;
use super::values::{optional_timestamp, parsed, trace, traceparent, tracestate};
use crate::log::v1 as pb;
use crate::time::timestamp_to_proto;

/// The `metadata` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Who caused it: a key's id, `oidc:` and a subject, a service (`dispatch`), or `operator`.
    pub actor: String,
    /// What ties records to one story: the event's id, or the endpoint's.
    pub correlation_id: String,
    /// The record, in the same shard, that this one follows from.
    pub causation: Option<Position>,
    /// Where it hangs in its trace.
    pub trace: Option<TraceContext>,
    /// What people call the actor. Only where the audit trail shows it, otherwise empty.
    pub actor_name: String,
    /// Where the call came from. Only where the audit trail shows it.
    pub address: Option<IpAddr>,
    /// When the shard's owner has written it, on the shard's steady clock. None: somebody else has.
    pub steady_time: Option<Timestamp>,
}

impl Metadata {
    /// What is told of something that a caller does: who it is and where it calls from.
    pub fn of(caller: &Caller, correlation_id: String, trace: Option<TraceContext>) -> Metadata {
        Metadata {
            actor: caller.actor.as_ref().to_owned(),
            correlation_id,
            causation: None,
            trace,
            actor_name: caller.name.as_ref().to_owned(),
            address: caller.address,
            steady_time: None,
        }
    }

    /// A RecordMetadata message.
    pub fn encode(&self) -> Vec<u8> {
        let message = pb::RecordMetadata {
            actor: self.actor.clone(),
            correlation_id: self.correlation_id.clone(),
            causation_position: self.causation.unwrap_or(Position::START).0,
            traceparent: traceparent(self.trace.as_ref()),
            tracestate: tracestate(self.trace.as_ref()),
            actor_name: self.actor_name.clone(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            steady_time: self.steady_time.map(timestamp_to_proto),
        };
        message.encode_to_vec()
    }

    /// What a RecordMetadata message says.
    pub fn decode(bytes: &[u8]) -> Result<Metadata, DecodeError> {
        let message = pb::RecordMetadata::decode(bytes)?;
        let causation = Position(message.causation_position);
        let trace = trace(&message.traceparent, &message.tracestate)?;
        let address = match message.address.as_str() {
            "" => None,
            address => Some(parsed("address", address)?),
        };
        Ok(Metadata {
            actor: message.actor,
            correlation_id: message.correlation_id,
            // No record stands at the start, so that 0 can say that there is none.
            causation: (causation != Position::START).then_some(causation),
            trace,
            actor_name: message.actor_name,
            address,
            steady_time: optional_timestamp("steady_time", message.steady_time)?,
        })
    }
}

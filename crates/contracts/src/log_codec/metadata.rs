//! The metadata of a record: who caused it, and what it belongs to.

use std::net::IpAddr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestDigest, RequestId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use prost::Message;

use super::error::DecodeError;
use super::values::{
    exactly, optional_timestamp, parsed, required, trace, traceparent, tracestate,
};
use crate::log::v1 as pb;
use crate::time::timestamp_to_proto;

/// The `metadata` of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The actor: a key's id, `oidc:` and a subject, a service (`dispatch`), or `operator`.
    pub actor: String,
    /// The id that related records share: that of the event or the endpoint.
    pub correlation_id: String,
    /// The position, in the same shard, of the record that this one follows from.
    pub causation: Option<Position>,
    /// The span that the record belongs to.
    pub trace: Option<TraceContext>,
    /// The actor's name for people. Empty unless the audit trail shows the record.
    pub actor_name: String,
    /// The IP address of the client. None unless the audit trail shows the record.
    pub address: Option<IpAddr>,
    /// When the record was written, on the shard's steady clock. None: its writer was not the shard's
    /// owner.
    pub steady_time: Option<Timestamp>,
    /// The caller's request, if it has an id: a repetition of it is answered with what the record is
    /// about.
    pub request: Option<IdentifiedRequest>,
}

impl Metadata {
    /// The metadata of a record that a caller causes.
    pub fn of(caller: &Caller, correlation_id: String, trace: Option<TraceContext>) -> Metadata {
        Metadata {
            actor: caller.actor.as_ref().to_owned(),
            correlation_id,
            causation: None,
            trace,
            actor_name: caller.name.as_ref().to_owned(),
            address: caller.address,
            steady_time: None,
            request: None,
        }
    }

    /// Encodes a RecordMetadata message.
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
            request: self.request.as_ref().map(|request| pb::IdentifiedRequest {
                id: request.id.as_str().to_owned(),
                sha256: request.digest.0.to_vec(),
            }),
        };
        message.encode_to_vec()
    }

    /// Decodes a RecordMetadata message.
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
            // No record is at position 0, so that 0 means none.
            causation: (causation != Position::START).then_some(causation),
            trace,
            actor_name: message.actor_name,
            address,
            steady_time: optional_timestamp("steady_time", message.steady_time)?,
            request: message.request.map(identified_request).transpose()?,
        })
    }
}

fn identified_request(message: pb::IdentifiedRequest) -> Result<IdentifiedRequest, DecodeError> {
    let id = RequestId::optional(message.id)
        .map_err(|wrong| DecodeError::Field { field: "request.id", problem: wrong.description })?;
    Ok(IdentifiedRequest {
        id: required("request.id", id)?,
        digest: RequestDigest(exactly("request.sha256", message.sha256)?),
    })
}

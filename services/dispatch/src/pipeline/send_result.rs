//! The results of sending deliveries, as the scheduler and the recorder get them.

use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptDetails;
use keeptrusts_webhooks_domain::delivery::{Delivery, RequestResult};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use tokio::time::Instant;

use super::owned_shard::OwnedShard;
use super::response_text;
use super::scheduler::AttemptEnd;
use crate::metrics::AttemptResult;

pub(crate) enum SendResult {
    /// A request was made, or could not be made.
    Attempted(Box<CompletedAttempt>),
    /// The event's body is no longer kept, so there is nothing to send.
    BodyExpired(Box<Delivery>),
}

pub(crate) struct CompletedAttempt {
    pub(crate) delivery: Delivery,
    pub(crate) details: AttemptDetails,
    pub(crate) request_result: RequestResult,
    pub(crate) result: AttemptResult,
    pub(crate) end_time: Timestamp,
    /// The same on the steady clock.
    pub(crate) steady_end_time: Timestamp,
    /// The encoded exchange.
    pub(crate) exchange: Bytes,
    /// The attempt's place in the trace.
    pub(crate) trace: Option<TraceContext>,
    /// When the endpoint's pause ends, if the response has made it longer.
    pub(crate) pause_end: Option<Instant>,
    /// The trace of the call that requested the attempt, if one did.
    pub(crate) request_trace: Option<TraceContext>,
}

impl CompletedAttempt {
    pub(crate) fn progress(&self) -> AttemptProgress {
        let Delivery { endpoint_id, id, .. } = self.delivery;
        let succeeded = self.request_result == RequestResult::Succeeded;
        let end = if succeeded { AttemptEnd::Succeeded } else { AttemptEnd::Failed };
        let pause = match self.request_result {
            RequestResult::Failed { endpoint_pause, .. } => endpoint_pause,
            RequestResult::Succeeded => None,
        };
        AttemptProgress::RequestEnded { endpoint_id, delivery_id: id, end, pause }
    }

    /// The result as it is recorded. Of many responses that ask for a pause, only the one counts
    /// that makes it the longest, so that the last one that is recorded is the one that applies.
    pub(crate) fn result_to_record(&self, shard: &OwnedShard) -> RequestResult {
        let endpoint_id = self.delivery.endpoint_id;
        let is_longest = |end: &Instant| shard.pauses.ends_at(endpoint_id, *end);
        let mut request_result = self.request_result.clone();
        if let RequestResult::Failed { endpoint_pause, .. } = &mut request_result
            && self.pause_end.filter(is_longest).is_none()
        {
            *endpoint_pause = None;
        }
        request_result
    }

    /// The error for logs and spans. Of a response only the status: the delivery log shows where a
    /// redirect leads, and the paths of receivers' URLs may be secret.
    pub(crate) fn failure(&self) -> Option<String> {
        match (&self.request_result, self.result) {
            (RequestResult::Succeeded, _) => None,
            (_, AttemptResult::Answered(code)) => {
                let status = http::StatusCode::from_u16(code).map(response_text::status_text);
                Some(format!("the receiver answered {}", status.unwrap_or(code.to_string())))
            }
            (RequestResult::Failed { error, .. }, _) => Some(error.clone()),
        }
    }
}

/// What the scheduler learns about an attempt, in this order.
pub(crate) enum AttemptProgress {
    /// The request is over; its outcome is not committed yet. `pause`: how long the receiver asks
    /// to be left alone.
    RequestEnded {
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
        end: AttemptEnd,
        pause: Option<Duration>,
    },
    /// The outcome is committed; the delivery after it.
    Committed(Box<Delivery>),
}

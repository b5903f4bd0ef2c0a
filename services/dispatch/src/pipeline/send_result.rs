//! What came of sending a delivery, on its way from the sender to the scheduler and to the recorder.

use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptMade;
use keeptrusts_webhooks_domain::delivery::{Delivery, Verdict};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use tokio::time::Instant;

use super::owned_shard::OwnedShard;
use super::response_text;
use super::scheduler::AttemptEnd;
use crate::metrics::AttemptResult;

/// What came of sending a delivery that was due.
pub(crate) enum SendResult {
    /// A request was made, or could not be.
    Attempted(Box<CompletedAttempt>),
    /// There is nothing left to send.
    BodyExpired(Box<Delivery>),
}

/// An attempt that has ended.
pub(crate) struct CompletedAttempt {
    pub(crate) delivery: Delivery,
    pub(crate) made: AttemptMade,
    pub(crate) verdict: Verdict,
    pub(crate) result: AttemptResult,
    pub(crate) end_time: Timestamp,
    /// The same on the steady clock.
    pub(crate) steady_end_time: Timestamp,
    /// The encoded exchange.
    pub(crate) exchange: Bytes,
    /// The attempt's place in the trace.
    pub(crate) trace: Option<TraceContext>,
    /// When the endpoint's pause ends, if the answer has made it longer.
    pub(crate) pause_end: Option<Instant>,
    /// The recorded call that asked for the attempt, if one did.
    pub(crate) request_trace: Option<TraceContext>,
}

impl CompletedAttempt {
    /// The request is over.
    pub(crate) fn progress(&self) -> AttemptProgress {
        let Delivery { endpoint_id, id, .. } = self.delivery;
        let succeeded = self.verdict == Verdict::Succeeded;
        let end = if succeeded { AttemptEnd::Succeeded } else { AttemptEnd::Failed };
        let pause = match self.verdict {
            Verdict::Failed { endpoint_pause, .. } => endpoint_pause,
            Verdict::Succeeded => None,
        };
        AttemptProgress::RequestEnded { endpoint_id, delivery_id: id, end, pause }
    }

    /// The verdict as it is recorded: of many answers that ask for a pause only the one counts that
    /// makes it the longest, so that the last that is recorded is the one that holds.
    pub(crate) fn verdict_to_record(&self, shard: &OwnedShard) -> Verdict {
        let endpoint_id = self.delivery.endpoint_id;
        let is_longest = |end: &Instant| shard.pauses.ends_at(endpoint_id, *end);
        let mut verdict = self.verdict.clone();
        if let Verdict::Failed { endpoint_pause, .. } = &mut verdict
            && self.pause_end.filter(is_longest).is_none()
        {
            *endpoint_pause = None;
        }
        verdict
    }

    /// What went wrong, for logs and spans. Of an answer only the status: the delivery log shows
    /// where a redirect leads, and paths of receivers' URLs are secrets of a kind.
    pub(crate) fn failure(&self) -> Option<String> {
        match (&self.verdict, self.result) {
            (Verdict::Succeeded, _) => None,
            (_, AttemptResult::Answered(code)) => {
                let status = http::StatusCode::from_u16(code).map(response_text::status_text);
                Some(format!("the receiver answered {}", status.unwrap_or(code.to_string())))
            }
            (Verdict::Failed { error, .. }, _) => Some(error.clone()),
        }
    }
}

/// What the scheduler learns about an attempt, in this order.
pub(crate) enum AttemptProgress {
    /// The request is over; its outcome is not committed yet.
    /// `pause`: for how long the receiver asks to be left alone.
    RequestEnded {
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
        end: AttemptEnd,
        pause: Option<Duration>,
    },
    /// The outcome is committed: the delivery after it.
    Committed(Box<Delivery>),
}

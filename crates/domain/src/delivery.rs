//! Deliveries: one event on its way to one endpoint, through as many attempts as it takes.

use std::time::Duration;

use crate::Timestamp;
use crate::attempt::{AttemptDetails, Trigger};
use crate::event_type::EventType;
use crate::fact::DeliveryFact;
use crate::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::log::Version;
use crate::retry::RetrySchedule;
use crate::trace::TraceContext;

pub use crate::delivery_state::{DeliveryState, EffectiveDeliveryState};

/// A delivery as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The event that is delivered.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// Whether it is a test, of whatever type.
    pub is_test: bool,
    /// When the event happened. None in deliveries from before records held it; then the time is
    /// the `timestamp` of the event's body, in whole seconds.
    pub event_time: Option<Timestamp>,
    /// The endpoint that it is delivered to.
    pub endpoint_id: EndpointId,
    /// Its state.
    pub state: DeliveryState,
    /// The attempts so far.
    pub attempt_count: u32,
    /// The automatic attempts so far: the position in the retry schedule.
    pub automatic_count: u32,
    /// When the next automatic attempt is due, by the wall clock, for people to read.
    pub next_attempt_time: Option<Timestamp>,
    /// The same on the shard's steady clock, which does not jump when a wall clock is set. The
    /// attempt is made by this clock. None: no steady time was recorded, and `next_attempt_time`
    /// counts.
    pub steady_due_time: Option<Timestamp>,
    /// When a manual retry was requested that has not been made yet.
    pub retry_request_time: Option<Timestamp>,
    /// The call that requested that retry, if its trace is recorded. Boxed, because few deliveries
    /// have one and many deliveries are in memory.
    pub retry_request_trace: Option<Box<TraceContext>>,
    /// The call that requested the replay which created or resumed the delivery, if its trace is
    /// recorded.
    pub replay_request_trace: Option<Box<TraceContext>>,
    /// The delivery's span in the trace of the event or the test.
    pub trace: Option<TraceContext>,
    /// When it was scheduled.
    pub create_time: Timestamp,
    /// Why it ended without an attempt that would say why: why it was cancelled, or, if it failed,
    /// why there was nothing to send. Empty otherwise. The API tells the two apart by the state.
    pub end_reason: String,
    /// The number of records in its stream.
    pub version: Version,
}

/// The result of an attempt's HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestResult {
    /// The receiver answered 2xx.
    Succeeded,
    /// The receiver gave another answer, or none.
    Failed {
        /// What went wrong, for people to read.
        error: String,
        /// The wait that the receiver asks for with Retry-After.
        retry_after: Option<Duration>,
        /// How long the endpoint's other deliveries wait because of that; see
        /// [`Pause::after_answer`](crate::pause::Pause::after_answer).
        endpoint_pause: Option<Duration>,
    },
}

/// When a manual retry or a test is due: before everything that waits for a time. It is no time of
/// the shard's steady clock, because the process that takes the request need not be the shard's owner
/// and does not know that clock. It is the first, so that the person who asks does not wait for a
/// backlog.
pub const DUE_IMMEDIATELY: Timestamp = Timestamp::UNIX_EPOCH;

impl Delivery {
    /// When the next attempt is due, manual or automatic, on the shard's steady clock. It orders the
    /// endpoint's queue. None: no attempt is due.
    pub fn due_time(&self) -> Option<Timestamp> {
        match self.due_trigger() {
            Trigger::Manual => Some(DUE_IMMEDIATELY),
            Trigger::Test => self.expected_attempt_time().map(|_| DUE_IMMEDIATELY),
            Trigger::Automatic => {
                self.next_attempt_time.map(|shown| self.steady_due_time.unwrap_or(shown))
            }
        }
    }

    /// When the next attempt is due, manual or automatic, by the wall clock, for people to read.
    /// None: no attempt is due.
    pub fn expected_attempt_time(&self) -> Option<Timestamp> {
        [self.retry_request_time, self.next_attempt_time].into_iter().flatten().min()
    }

    /// The trigger of the attempt that is due.
    pub fn due_trigger(&self) -> Trigger {
        match self.retry_request_time {
            _ if self.is_test => Trigger::Test,
            Some(_) => Trigger::Manual,
            None => Trigger::Automatic,
        }
    }

    /// The fact of an attempt that ended at `end_time`, which was `steady_end_time` on the shard's
    /// steady clock. The next attempt waits on the steady clock.
    ///
    /// A success always delivers. An automatic failure moves the delivery along the schedule. A
    /// manual failure leaves schedule and state as they are. A test has no second attempt.
    pub fn conclude(
        &self,
        details: AttemptDetails,
        request_result: RequestResult,
        end_time: Timestamp,
        steady_end_time: Timestamp,
        schedule: &RetrySchedule,
    ) -> DeliveryFact {
        // Counted from the delivery's present state: a replay may have restarted the schedule since
        // the attempt began.
        let automatic = u32::from(details.trigger == Trigger::Automatic);
        let details =
            AttemptDetails { automatic_count: self.automatic_count + automatic, ..details };
        let RequestResult::Failed { error, retry_after, endpoint_pause } = request_result else {
            return DeliveryFact::AttemptSucceeded(details);
        };
        let (state, next_attempt_time, steady_due_time) = match details.trigger {
            _ if self.state == DeliveryState::Cancelled => (DeliveryState::Cancelled, None, None),
            Trigger::Manual => (self.state, self.next_attempt_time, self.steady_due_time),
            Trigger::Test => (DeliveryState::Failed, None, None),
            Trigger::Automatic => {
                let wait = schedule.wait_after(details.automatic_count, retry_after);
                let next = wait.and_then(|wait| {
                    let steady_due_time = steady_end_time.checked_add(wait).ok()?;
                    Some((end_time.checked_add(wait).ok()?, steady_due_time))
                });
                match next {
                    Some((time, due)) => (DeliveryState::Retrying, Some(time), Some(due)),
                    None => (DeliveryState::Failed, None, None),
                }
            }
        };
        DeliveryFact::AttemptFailed {
            details,
            error,
            next_attempt_time,
            steady_due_time,
            state,
            endpoint_pause,
        }
    }

    /// The fact of an attempt that is due when the event's body is no longer kept: the delivery has
    /// failed. If the delivery has ended, only its manual retry is dropped.
    pub fn expire(&self) -> DeliveryFact {
        let reason = "the event's body is no longer kept".to_owned();
        match self.state.has_ended() {
            true => DeliveryFact::Cancelled { reason },
            false => {
                let Delivery { endpoint_id, event_type, is_test, .. } = *self;
                DeliveryFact::Expired { endpoint_id, event_type, is_test, reason }
            }
        }
    }

    /// The delivery after one more fact, recorded at `recorded_at`. `steady_time` is the same moment
    /// on the shard's steady clock; None if the fact was not recorded by the shard's owner.
    pub fn apply(
        &mut self,
        fact: &DeliveryFact,
        recorded_at: Timestamp,
        steady_time: Option<Timestamp>,
    ) {
        self.version = self.version.next();
        match fact {
            DeliveryFact::TestRequested { .. }
            | DeliveryFact::Replayed { .. }
            | DeliveryFact::CancelRequested => {}
            DeliveryFact::Resumed { .. } => {
                self.state = DeliveryState::Retrying;
                self.automatic_count = 0;
                self.next_attempt_time = Some(recorded_at);
                self.steady_due_time = steady_time;
                self.end_reason.clear();
            }
            DeliveryFact::RetryRequested => self.retry_request_time = Some(recorded_at),
            DeliveryFact::AttemptSucceeded(details) => {
                self.count(details);
                self.state = DeliveryState::Delivered;
                self.stop_waiting();
                self.end_reason.clear();
            }
            DeliveryFact::AttemptFailed {
                details,
                next_attempt_time,
                steady_due_time,
                state,
                ..
            } => {
                self.count(details);
                self.state = *state;
                self.next_attempt_time = *next_attempt_time;
                self.steady_due_time = *steady_due_time;
            }
            DeliveryFact::Expired { reason, .. } => {
                self.state = DeliveryState::Failed;
                self.end_reason.clone_from(reason);
                self.stop_waiting();
                self.end_retry_request();
            }
            DeliveryFact::Cancelled { reason } => {
                // If the delivery has ended, only its manual retry is dropped.
                if !self.state.has_ended() {
                    self.state = DeliveryState::Cancelled;
                    self.end_reason.clone_from(reason);
                }
                self.stop_waiting();
                self.end_retry_request();
            }
        }
    }

    fn stop_waiting(&mut self) {
        self.next_attempt_time = None;
        self.steady_due_time = None;
    }

    /// Drops a manual retry: it was made, or will not be.
    fn end_retry_request(&mut self) {
        self.retry_request_time = None;
        self.retry_request_trace = None;
    }

    fn count(&mut self, details: &AttemptDetails) {
        self.attempt_count = details.number;
        self.automatic_count = details.automatic_count;
        if details.trigger != Trigger::Automatic {
            self.end_retry_request();
        }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;

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

pub use crate::delivery_state::DeliveryState;

/// A delivery as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The event that is delivered.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// When the event happened. None: it was scheduled before records said so, and the exact time
    /// is the `timestamp` of the event's body.
    pub event_time: Option<Timestamp>,
    /// The endpoint that it is delivered to.
    pub endpoint_id: EndpointId,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempt_count: u32,
    /// Automatic attempts made: the place in the retry schedule.
    pub automatic_count: u32,
    /// When the next automatic attempt is due, as people are told.
    pub next_attempt_time: Option<Timestamp>,
    /// The same on the shard's steady clock, which no step of a wall clock moves: this is when it
    /// is made. None: nothing was said, and it is the time above.
    pub steady_due_time: Option<Timestamp>,
    /// When a manual retry that has not been made yet was asked for.
    pub retry_request_time: Option<Timestamp>,
    /// The call that asked for that retry, if it is recorded. Boxed, as few deliveries have one and
    /// many are in memory.
    pub retry_request_trace: Option<Box<TraceContext>>,
    /// The call that asked for the replay that has made or resumed the delivery, if it is recorded.
    pub replay_request_trace: Option<Box<TraceContext>>,
    /// Where it hangs in its trace.
    pub trace: Option<TraceContext>,
    /// When it was scheduled.
    pub create_time: Timestamp,
    /// Why it ended without an attempt that says so: why it was cancelled, or, of one that has failed,
    /// why there was nothing to send. Empty otherwise. The API tells the two apart by the state.
    pub end_reason: String,
    /// How many records its stream has.
    pub version: Version,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestResult {
    /// Answered 2xx.
    Succeeded,
    /// Anything else.
    Failed {
        /// What went wrong.
        error: String,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
        /// For how long its endpoint's other deliveries wait because of that; see
        /// [`Pause::after_answer`](crate::pause::Pause::after_answer).
        endpoint_pause: Option<Duration>,
    },
}

/// When an attempt is due that somebody asks for, a manual retry or a test: before everything that
/// waits for a time. Whoever asks may be any process, which knows nothing of the shard's steady
/// clock; and whoever asks waits for no backlog.
pub const DUE_IMMEDIATELY: Timestamp = Timestamp::UNIX_EPOCH;

impl Delivery {
    /// The delivery's place in its endpoint's queue: when the next attempt is made, manual or
    /// automatic, on the shard's steady clock. None: nothing is waiting.
    pub fn due_time(&self) -> Option<Timestamp> {
        match self.due_trigger() {
            Trigger::Manual => Some(DUE_IMMEDIATELY),
            Trigger::Test => self.expected_attempt_time().map(|_| DUE_IMMEDIATELY),
            Trigger::Automatic => {
                self.next_attempt_time.map(|shown| self.steady_due_time.unwrap_or(shown))
            }
        }
    }

    /// When the next attempt is expected, manual or automatic, as people are told: a wall clock's
    /// time. None: nothing is waiting.
    pub fn expected_attempt_time(&self) -> Option<Timestamp> {
        [self.retry_request_time, self.next_attempt_time].into_iter().flatten().min()
    }

    /// What causes the attempt that is due.
    pub fn due_trigger(&self) -> Trigger {
        match self.event_type {
            EventType::Test => Trigger::Test,
            _ if self.retry_request_time.is_some() => Trigger::Manual,
            _ => Trigger::Automatic,
        }
    }

    /// The fact that an attempt leaves behind, which ended at `end_time`; that was at
    /// `steady_end_time` on the shard's steady clock, on which the next one waits.
    ///
    /// A success always delivers. An automatic failure moves along the schedule; a manual one
    /// leaves schedule and state as they are; a test has no second attempt.
    pub fn conclude(
        &self,
        details: AttemptDetails,
        request_result: RequestResult,
        end_time: Timestamp,
        steady_end_time: Timestamp,
        schedule: &RetrySchedule,
    ) -> DeliveryFact {
        // Counted from how the delivery stands: a replay may have begun the schedule anew since
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

    /// The fact that follows when it is due and there is nothing to send any more: it has failed.
    /// One that has ended is only spared the manual retry that was still to come.
    pub fn expire(&self) -> DeliveryFact {
        let reason = "the event's body is no longer kept".to_owned();
        match self.state.has_ended() {
            true => DeliveryFact::Cancelled { reason },
            false => {
                let Delivery { endpoint_id, event_type, .. } = *self;
                DeliveryFact::Expired { endpoint_id, event_type, reason }
            }
        }
    }

    /// The delivery after one more fact, recorded at `recorded_at`; that was at `steady_time` on
    /// the shard's steady clock, if its owner has recorded it.
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
                // One that has ended is only spared a manual retry that was still to come.
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

    /// A manual retry was made, or will not be.
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

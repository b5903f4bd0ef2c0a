//! Deliveries: one event on its way to one endpoint, through as many attempts as it takes.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::attempt::{AttemptMade, Outcome, Trigger};
use crate::event_type::EventType;
use crate::fact::DeliveryFact;
use crate::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::log::Version;
use crate::retry::RetrySchedule;
use crate::trace::TraceContext;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryState {
    /// Its first attempt has not ended yet.
    Scheduled,
    /// An attempt failed, and another one is due.
    Retrying,
    /// Answered 2xx.
    Delivered,
    /// Every attempt of the schedule failed.
    Failed,
    /// Ended without success, by an operator or with its endpoint.
    Cancelled,
}

impl DeliveryState {
    /// Whether no automatic attempt will follow.
    pub fn has_ended(self) -> bool {
        !matches!(self, DeliveryState::Scheduled | DeliveryState::Retrying)
    }
}

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
    /// The endpoint that it is delivered to.
    pub endpoint_id: EndpointId,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempt_count: u32,
    /// Automatic attempts made: the place in the retry schedule.
    pub automatic_count: u32,
    /// When the next automatic attempt is due.
    pub next_attempt_time: Option<Timestamp>,
    /// When a manual retry that has not been made yet was asked for.
    pub retry_request_time: Option<Timestamp>,
    /// Where it hangs in its trace.
    pub trace: Option<TraceContext>,
    /// When it was scheduled.
    pub create_time: Timestamp,
    /// Why it was cancelled; empty otherwise.
    pub cancel_reason: String,
    /// How many records its stream has.
    pub version: Version,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Answered 2xx.
    Succeeded,
    /// Anything else.
    Failed {
        /// What went wrong.
        error: String,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Delivery {
    /// When the next attempt is due, manual or automatic. None: nothing is waiting.
    pub fn due_time(&self) -> Option<Timestamp> {
        match (self.retry_request_time, self.next_attempt_time) {
            (Some(manual), Some(automatic)) => Some(manual.min(automatic)),
            (manual, automatic) => manual.or(automatic),
        }
    }

    /// What causes the attempt that is due.
    pub fn due_trigger(&self) -> Trigger {
        match self.event_type {
            EventType::Test => Trigger::Test,
            _ if self.retry_request_time.is_some() => Trigger::Manual,
            _ => Trigger::Automatic,
        }
    }

    /// Where the attempt of this number hangs in the delivery's trace.
    ///
    /// The span's id is computed, not drawn: so an attempt links to the one before it, hours
    /// later and in another process, without anything having been kept for that; and a receiver
    /// that gets an attempt twice, because a process died, sees that it is the same.
    pub fn attempt_trace(&self, number: u32) -> Option<TraceContext> {
        let hash = Sha256::new()
            .chain_update(self.id.ulid().0.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&hash[..8]);
        // All zeros would be no span (W3C Trace Context, section 3.2.2.4).
        span_id[7] |= u8::from(span_id == [0; 8]);
        self.trace.map(|trace| trace.child(span_id))
    }

    /// The fact that an attempt leaves behind.
    ///
    /// A success always delivers. An automatic failure moves along the schedule; a manual one
    /// leaves schedule and state as they are; a test has no second attempt.
    pub fn conclude(
        &self,
        made: AttemptMade,
        verdict: Verdict,
        end_time: Timestamp,
        schedule: &RetrySchedule,
    ) -> DeliveryFact {
        // Counted from how the delivery stands: a replay may have begun the schedule anew since
        // the attempt began.
        let automatic = u32::from(made.trigger == Trigger::Automatic);
        let made = AttemptMade { automatic_count: self.automatic_count + automatic, ..made };
        let (error, retry_after) = match verdict {
            Verdict::Succeeded => return DeliveryFact::AttemptSucceeded(made),
            Verdict::Failed { error, retry_after } => (error, retry_after),
        };
        let (state, next_attempt_time) = match made.trigger {
            _ if self.state == DeliveryState::Cancelled => (DeliveryState::Cancelled, None),
            Trigger::Manual => (self.state, self.next_attempt_time),
            Trigger::Test => (DeliveryState::Failed, None),
            Trigger::Automatic => {
                let wait = schedule.wait_after(made.automatic_count, retry_after);
                match wait.and_then(|wait| end_time.checked_add(wait).ok()) {
                    Some(time) => (DeliveryState::Retrying, Some(time)),
                    None => (DeliveryState::Failed, None),
                }
            }
        };
        DeliveryFact::AttemptFailed { made, error, next_attempt_time, state }
    }

    /// The delivery after one more fact, recorded at `recorded_at`.
    pub fn apply(&mut self, fact: &DeliveryFact, recorded_at: Timestamp) {
        self.version = self.version.next();
        match fact {
            DeliveryFact::TestRequested { .. }
            | DeliveryFact::Replayed { .. }
            | DeliveryFact::CancelRequested => {}
            DeliveryFact::Resumed { .. } => {
                self.state = DeliveryState::Retrying;
                self.automatic_count = 0;
                self.next_attempt_time = Some(recorded_at);
                self.cancel_reason.clear();
            }
            DeliveryFact::RetryRequested => self.retry_request_time = Some(recorded_at),
            DeliveryFact::AttemptSucceeded(made) => {
                self.count(made);
                self.state = DeliveryState::Delivered;
                self.next_attempt_time = None;
                self.cancel_reason.clear();
            }
            DeliveryFact::AttemptFailed { made, next_attempt_time, state, .. } => {
                self.count(made);
                self.state = *state;
                self.next_attempt_time = *next_attempt_time;
            }
            DeliveryFact::Cancelled { reason } => {
                // One that has ended is only spared a manual retry that was still to come.
                if !self.state.has_ended() {
                    self.state = DeliveryState::Cancelled;
                    self.cancel_reason.clone_from(reason);
                }
                self.next_attempt_time = None;
                self.retry_request_time = None;
            }
        }
    }

    fn count(&mut self, made: &AttemptMade) {
        self.attempt_count = made.number;
        self.automatic_count = made.automatic_count;
        if made.trigger != Trigger::Automatic {
            self.retry_request_time = None;
        }
    }
}

impl DeliveryFact {
    /// If the fact is an attempt's end: the attempt, what it meant, what went wrong, what is next.
    pub fn attempt(&self) -> Option<(&AttemptMade, Outcome, &str, Option<Timestamp>)> {
        match self {
            DeliveryFact::AttemptSucceeded(made) => Some((made, Outcome::Delivered, "", None)),
            DeliveryFact::AttemptFailed { made, error, next_attempt_time, .. } => {
                let outcome = match next_attempt_time {
                    Some(_) => Outcome::Retrying,
                    None => Outcome::Failed,
                };
                Some((made, outcome, error, *next_attempt_time))
            }
            _ => None,
        }
    }

    /// Whether the fact is that the schedule ran out. A test's failure is not.
    pub fn is_exhaustion(&self) -> bool {
        matches!(
            self,
            DeliveryFact::AttemptFailed { made, state: DeliveryState::Failed, .. }
                if made.trigger == Trigger::Automatic
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ContentDigest;
    use crate::ids::{AttemptId, ReplayId};

    fn now() -> Timestamp {
        "2026-04-23T10:30:00Z".parse().expect("a timestamp")
    }

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId::MIN,
            organization_id: "default".parse().expect("valid"),
            event_id: EventId::MIN,
            event_type: EventType::PolicyViolation,
            endpoint_id: EndpointId::MIN,
            state: DeliveryState::Scheduled,
            attempt_count: 0,
            automatic_count: 0,
            next_attempt_time: Some(now()),
            retry_request_time: None,
            trace: None,
            create_time: now(),
            cancel_reason: String::new(),
            version: Version(0),
        }
    }

    fn attempt(delivery: &Delivery) -> AttemptMade {
        let trigger = delivery.due_trigger();
        AttemptMade {
            id: AttemptId::MIN,
            event_id: delivery.event_id,
            event_type: delivery.event_type,
            endpoint_id: delivery.endpoint_id,
            number: delivery.attempt_count + 1,
            automatic_count: delivery.automatic_count + u32::from(trigger == Trigger::Automatic),
            trigger,
            start_time: now(),
            duration: Duration::from_millis(5),
            status_code: Some(500),
            exchange: ContentDigest::of(b""),
            remark: String::new(),
        }
    }

    fn failure() -> Verdict {
        Verdict::Failed { error: "answered 500".to_owned(), retry_after: None }
    }

    fn make(delivery: &mut Delivery, verdict: Verdict) -> DeliveryFact {
        let fact = delivery.conclude(attempt(delivery), verdict, now(), &RetrySchedule::default());
        delivery.apply(&fact, now());
        fact
    }

    #[test]
    fn invariant_3_a_delivery_fails_for_good_after_the_first_attempt_and_five_retries() {
        let mut delivery = delivery();
        for _ in 0..5 {
            assert!(!make(&mut delivery, failure()).is_exhaustion());
            assert_eq!(delivery.state, DeliveryState::Retrying);
        }
        assert!(make(&mut delivery, failure()).is_exhaustion());
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert_eq!((delivery.attempt_count, delivery.due_time()), (6, None));
    }

    #[test]
    fn a_manual_retry_neither_consumes_nor_resets_the_schedule() {
        let mut delivery = delivery();
        make(&mut delivery, failure());
        let scheduled = delivery.next_attempt_time;
        delivery.apply(&DeliveryFact::RetryRequested, now());
        assert_eq!(delivery.due_trigger(), Trigger::Manual);
        make(&mut delivery, failure());
        assert_eq!(delivery.next_attempt_time, scheduled);
        assert_eq!((delivery.attempt_count, delivery.automatic_count), (2, 1));
        assert_eq!(delivery.due_trigger(), Trigger::Automatic);
    }

    #[test]
    fn a_manual_retry_of_a_failed_delivery_can_still_deliver_it() {
        let mut delivery = delivery();
        (0..6).for_each(|_| {
            make(&mut delivery, failure());
        });
        delivery.apply(&DeliveryFact::RetryRequested, now());
        make(&mut delivery, failure());
        assert_eq!(delivery.state, DeliveryState::Failed);
        delivery.apply(&DeliveryFact::RetryRequested, now());
        make(&mut delivery, Verdict::Succeeded);
        assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Delivered, 8));
    }

    #[test]
    fn an_attempt_that_was_under_way_when_its_delivery_was_cancelled_does_not_revive_it() {
        let mut delivery = delivery();
        delivery.apply(&DeliveryFact::Cancelled { reason: "by an operator".to_owned() }, now());
        make(&mut delivery, failure());
        assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Cancelled, None));
    }

    #[test]
    fn invariant_3_a_resumed_delivery_fails_for_good_after_a_whole_schedule_of_its_own() {
        let mut delivery = delivery();
        (0..6).for_each(|_| drop(make(&mut delivery, failure())));
        let (replay_id, endpoint_id) = (ReplayId::MIN, delivery.endpoint_id);
        delivery.apply(&DeliveryFact::Resumed { replay_id, endpoint_id }, now());
        assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Retrying, Some(now())));
        assert_eq!(delivery.due_trigger(), Trigger::Automatic);
        (0..5).for_each(|_| assert!(!make(&mut delivery, failure()).is_exhaustion()));
        assert!(make(&mut delivery, failure()).is_exhaustion());
        assert_eq!((delivery.attempt_count, delivery.state), (12, DeliveryState::Failed));
    }

    #[test]
    fn a_delivery_that_is_resumed_during_a_manual_attempt_keeps_its_new_schedule() {
        let mut delivery = delivery();
        (0..6).for_each(|_| drop(make(&mut delivery, failure())));
        delivery.apply(&DeliveryFact::RetryRequested, now());
        let under_way = attempt(&delivery);
        let (replay_id, endpoint_id) = (ReplayId::MIN, delivery.endpoint_id);
        delivery.apply(&DeliveryFact::Resumed { replay_id, endpoint_id }, now());
        let fact = delivery.conclude(under_way, failure(), now(), &RetrySchedule::default());
        delivery.apply(&fact, now());
        assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Retrying, Some(now())));
    }

    #[test]
    fn a_test_is_never_retried() {
        let mut delivery = Delivery { event_type: EventType::Test, ..delivery() };
        let fact = make(&mut delivery, failure());
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(!fact.is_exhaustion(), "and degrades no endpoint");
    }
}

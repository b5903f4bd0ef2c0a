//! Deliveries: one event on its way to one endpoint, through as many attempts as it takes.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::attempt::{AttemptDetails, AttemptOutcome, Trigger};
use crate::event_type::EventType;
use crate::fact::DeliveryFact;
use crate::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::log::Version;
use crate::retry::RetrySchedule;
use crate::trace::TraceContext;
use crate::word::words;

words! {
    /// How far a delivery has come.
    pub enum DeliveryState {
        /// Its first attempt has not ended yet.
        Scheduled = "scheduled",
        /// An attempt failed, and another one is due.
        Retrying = "retrying",
        /// Answered 2xx.
        Delivered = "delivered",
        /// Every attempt of the schedule failed, or there is nothing to send any more.
        Failed = "failed",
        /// Ended without success, by an operator or with its endpoint.
        Cancelled = "cancelled",
    }
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
pub const ON_REQUEST: Timestamp = Timestamp::UNIX_EPOCH;

impl Delivery {
    /// The delivery's place in its endpoint's queue: when the next attempt is made, manual or
    /// automatic, on the shard's steady clock. None: nothing is waiting.
    pub fn due_time(&self) -> Option<Timestamp> {
        match self.due_trigger() {
            Trigger::Manual => Some(ON_REQUEST),
            Trigger::Test => self.expected_attempt_time().map(|_| ON_REQUEST),
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
        self.trace.as_ref().map(|trace| trace.child(span_id))
    }

    /// The call that asked for an attempt: for this one, or for the replay that it belongs to.
    /// None: nobody did, or the call's trace is not recorded. (A test's attempt hangs below its
    /// call, and needs no link to it.)
    pub fn request_trace(&self, trigger: Trigger) -> Option<&TraceContext> {
        match trigger {
            Trigger::Manual => self.retry_request_trace.as_deref(),
            Trigger::Automatic => self.replay_request_trace.as_deref(),
            Trigger::Test => None,
        }
    }

    /// Notes which call asked for what a fact begins; `trace` is its record's. Only of calls that
    /// are recorded: nobody would find another.
    pub fn note_request(&mut self, fact: &DeliveryFact, trace: Option<&TraceContext>) {
        let recorded = || trace.filter(|trace| trace.sampled);
        let call = || recorded().map(|trace| Box::new(trace.without_state()));
        match fact {
            DeliveryFact::RetryRequested => self.retry_request_trace = call(),
            DeliveryFact::Replayed { .. } | DeliveryFact::Resumed { .. } => {
                self.replay_request_trace = call();
            }
            _ => {}
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
        let details = AttemptDetails { automatic_count: self.automatic_count + automatic, ..details };
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
                details, next_attempt_time, steady_due_time, state, ..
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

impl DeliveryFact {
    /// If the fact is an attempt's end: the attempt, what it meant, what went wrong, what is next.
    pub fn attempt(&self) -> Option<(&AttemptDetails, AttemptOutcome, &str, Option<Timestamp>)> {
        match self {
            DeliveryFact::AttemptSucceeded(details) => Some((details, AttemptOutcome::Delivered, "", None)),
            DeliveryFact::AttemptFailed { details, error, next_attempt_time, .. } => {
                let outcome = match next_attempt_time {
                    Some(_) => AttemptOutcome::Retrying,
                    None => AttemptOutcome::Failed,
                };
                Some((details, outcome, error, *next_attempt_time))
            }
            _ => None,
        }
    }

    /// Whether a delivery looks different after the fact. After a request to cancel it does not: what
    /// comes of that is a fact of its own. (A request to retry is shown as the next attempt.)
    pub fn is_seen(&self) -> bool {
        !matches!(self, DeliveryFact::CancelRequested)
    }

    /// Whether the fact is that the delivery has failed for good: the schedule ran out, or the
    /// event's body did. A test's failure is not.
    pub fn is_exhaustion(&self) -> bool {
        match self {
            DeliveryFact::AttemptFailed { details, state, .. } => {
                *state == DeliveryState::Failed && details.trigger == Trigger::Automatic
            }
            DeliveryFact::Expired { event_type, .. } => *event_type != EventType::Test,
            _ => false,
        }
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

    /// The wall clock is an hour ahead of the steady one.
    fn steady_now() -> Timestamp {
        "2026-04-23T09:30:00Z".parse().expect("a timestamp")
    }

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId::MIN,
            organization_id: "default".parse().expect("valid"),
            event_id: EventId::MIN,
            event_type: EventType::PolicyViolation,
            event_time: Some(now()),
            endpoint_id: EndpointId::MIN,
            state: DeliveryState::Scheduled,
            attempt_count: 0,
            automatic_count: 0,
            next_attempt_time: Some(now()),
            steady_due_time: Some(steady_now()),
            retry_request_time: None,
            retry_request_trace: None,
            replay_request_trace: None,
            trace: None,
            create_time: now(),
            end_reason: String::new(),
            version: Version(0),
        }
    }

    fn attempt(delivery: &Delivery) -> AttemptDetails {
        let trigger = delivery.due_trigger();
        AttemptDetails {
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

    fn failure() -> RequestResult {
        let error = "answered 500".to_owned();
        RequestResult::Failed { error, retry_after: None, endpoint_pause: None }
    }

    fn make(delivery: &mut Delivery, request_result: RequestResult) -> DeliveryFact {
        let fact = delivery.conclude(
            attempt(delivery),
            request_result,
            now(),
            steady_now(),
            &RetrySchedule::default(),
        );
        delivery.apply(&fact, now(), Some(steady_now()));
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
        let (scheduled, due) = (delivery.next_attempt_time, delivery.due_time());
        delivery.apply(&DeliveryFact::RetryRequested, now(), Some(steady_now()));
        assert_eq!(delivery.due_trigger(), Trigger::Manual);
        assert_eq!(delivery.due_time(), Some(ON_REQUEST), "before all that waits for a time");
        make(&mut delivery, failure());
        assert_eq!((delivery.next_attempt_time, delivery.due_time()), (scheduled, due));
        assert_eq!(due, Some(steady_now() + Duration::from_secs(60)));
        assert_eq!((delivery.attempt_count, delivery.automatic_count), (2, 1));
        assert_eq!(delivery.due_trigger(), Trigger::Automatic);
    }

    #[test]
    fn attempts_know_the_recorded_call_that_asked_for_them() {
        let call = |text: &str| text.parse::<TraceContext>().expect("a traceparent");
        let of_retry = call("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let of_replay = call("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let mut delivery = delivery();
        (0..6).for_each(|_| drop(make(&mut delivery, failure())));
        let ask = |delivery: &mut Delivery, fact: DeliveryFact, trace: &TraceContext| {
            delivery.apply(&fact, now(), Some(steady_now()));
            delivery.note_request(&fact, Some(trace));
        };
        let (replay_id, endpoint_id) = (ReplayId::MIN, delivery.endpoint_id);
        let noted = of_replay.clone().with_state("vendor=1".parse().ok());
        ask(&mut delivery, DeliveryFact::Resumed { replay_id, endpoint_id }, &noted);
        ask(&mut delivery, DeliveryFact::RetryRequested, &of_retry);
        assert_eq!(delivery.request_trace(delivery.due_trigger()), Some(&of_retry));
        make(&mut delivery, failure());
        // All further attempts are the replay's.
        assert_eq!(delivery.request_trace(delivery.due_trigger()), Some(&of_replay));
        make(&mut delivery, failure());
        assert_eq!(delivery.request_trace(delivery.due_trigger()), Some(&of_replay));
        assert_eq!(delivery.request_trace(Trigger::Manual), None, "it was made");

        let unrecorded = TraceContext { sampled: false, ..of_retry };
        ask(&mut delivery, DeliveryFact::RetryRequested, &unrecorded);
        assert_eq!(delivery.request_trace(Trigger::Manual), None);
    }

    #[test]
    fn a_manual_retry_of_a_failed_delivery_can_still_deliver_it() {
        let mut delivery = delivery();
        (0..6).for_each(|_| {
            make(&mut delivery, failure());
        });
        delivery.apply(&DeliveryFact::RetryRequested, now(), Some(steady_now()));
        make(&mut delivery, failure());
        assert_eq!(delivery.state, DeliveryState::Failed);
        delivery.apply(&DeliveryFact::RetryRequested, now(), Some(steady_now()));
        make(&mut delivery, RequestResult::Succeeded);
        assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Delivered, 8));
    }

    #[test]
    fn an_attempt_that_was_under_way_when_its_delivery_was_cancelled_does_not_revive_it() {
        let mut delivery = delivery();
        delivery.apply(
            &DeliveryFact::Cancelled { reason: "by an operator".to_owned() },
            now(),
            Some(steady_now()),
        );
        make(&mut delivery, failure());
        assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Cancelled, None));
    }

    #[test]
    fn invariant_3_a_resumed_delivery_fails_for_good_after_a_whole_schedule_of_its_own() {
        let mut delivery = delivery();
        (0..6).for_each(|_| drop(make(&mut delivery, failure())));
        let (replay_id, endpoint_id) = (ReplayId::MIN, delivery.endpoint_id);
        delivery.apply(
            &DeliveryFact::Resumed { replay_id, endpoint_id },
            now(),
            Some(steady_now()),
        );
        assert_eq!(
            (delivery.state, delivery.due_time()),
            (DeliveryState::Retrying, Some(steady_now()))
        );
        assert_eq!(delivery.due_trigger(), Trigger::Automatic);
        (0..5).for_each(|_| assert!(!make(&mut delivery, failure()).is_exhaustion()));
        assert!(make(&mut delivery, failure()).is_exhaustion());
        assert_eq!((delivery.attempt_count, delivery.state), (12, DeliveryState::Failed));
    }

    #[test]
    fn a_delivery_that_is_resumed_during_a_manual_attempt_keeps_its_new_schedule() {
        let mut delivery = delivery();
        (0..6).for_each(|_| drop(make(&mut delivery, failure())));
        delivery.apply(&DeliveryFact::RetryRequested, now(), Some(steady_now()));
        let under_way = attempt(&delivery);
        let (replay_id, endpoint_id) = (ReplayId::MIN, delivery.endpoint_id);
        delivery.apply(
            &DeliveryFact::Resumed { replay_id, endpoint_id },
            now(),
            Some(steady_now()),
        );
        let fact =
            delivery.conclude(under_way, failure(), now(), steady_now(), &RetrySchedule::default());
        delivery.apply(&fact, now(), Some(steady_now()));
        assert_eq!(
            (delivery.state, delivery.due_time()),
            (DeliveryState::Retrying, Some(steady_now()))
        );
        assert_eq!(delivery.automatic_count, 0, "all of it is still to come");
    }

    #[test]
    fn invariant_3_a_delivery_whose_body_has_expired_has_failed_with_that_reason() {
        for mut delivery in [delivery(), Delivery { state: DeliveryState::Retrying, ..delivery() }]
        {
            let fact = delivery.expire();
            assert!(fact.is_exhaustion(), "somebody has to hear of it");
            assert_eq!(fact.attempt(), None);
            delivery.apply(&fact, now(), Some(steady_now()));
            assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Failed, None));
            assert_eq!(delivery.end_reason, "the event's body is no longer kept");
            assert_eq!(delivery.attempt_count, 0);
        }
        let test = Delivery { event_type: EventType::Test, ..delivery() };
        assert!(!test.expire().is_exhaustion(), "a test degrades no endpoint");
    }

    #[test]
    fn a_delivery_that_has_ended_does_not_fail_because_its_body_expires_before_a_manual_retry() {
        for state in [DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Cancelled] {
            let retry_request_time = Some(now());
            let ended = Delivery { state, next_attempt_time: None, ..delivery() };
            let mut delivery = Delivery { retry_request_time, ..ended };
            let fact = delivery.expire();
            assert!(!fact.is_exhaustion());
            delivery.apply(&fact, now(), Some(steady_now()));
            assert_eq!((delivery.state, delivery.due_time()), (state, None));
        }
    }

    #[test]
    fn whatever_ends_a_manual_retry_ends_all_that_is_known_of_its_request() {
        let reason = || "by an operator".to_owned();
        let (endpoint_id, event_type) = (EndpointId::MIN, EventType::PolicyViolation);
        let ends: [&dyn Fn(&mut Delivery); 4] = [
            &|it| drop(make(it, failure())),
            &|it| drop(make(it, RequestResult::Succeeded)),
            &|it| it.apply(&DeliveryFact::Cancelled { reason: reason() }, now(), None),
            &|it| {
                let fact = DeliveryFact::Expired { endpoint_id, event_type, reason: reason() };
                it.apply(&fact, now(), None);
            },
        ];
        for end in ends {
            let mut delivery = delivery();
            let call = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
            delivery.apply(&DeliveryFact::RetryRequested, now(), None);
            delivery.note_request(&DeliveryFact::RetryRequested, call.as_ref());
            assert!(delivery.request_trace(Trigger::Manual).is_some());
            end(&mut delivery);
            let known = (delivery.retry_request_time, delivery.request_trace(Trigger::Manual));
            assert_eq!(known, (None, None));
        }
    }

    #[test]
    fn invariant_9_a_delivery_that_waits_in_memory_is_small() {
        // Tens of thousands of them may wait in a shard.
        let bytes = size_of::<Delivery>();
        assert!(bytes <= 288, "{bytes}");
    }

    #[test]
    fn a_test_is_never_retried() {
        let mut delivery = Delivery { event_type: EventType::Test, ..delivery() };
        let fact = make(&mut delivery, failure());
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(!fact.is_exhaustion(), "and degrades no endpoint");
    }
}

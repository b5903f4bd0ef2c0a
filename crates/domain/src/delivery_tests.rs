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
        is_test: false,
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
    assert_eq!(
        delivery.due_time(),
        Some(DUE_IMMEDIATELY),
        "before everything that waits for a time"
    );
    make(&mut delivery, failure());
    assert_eq!((delivery.next_attempt_time, delivery.due_time()), (scheduled, due));
    assert_eq!(due, Some(steady_now() + Duration::from_secs(60)));
    assert_eq!((delivery.attempt_count, delivery.automatic_count), (2, 1));
    assert_eq!(delivery.due_trigger(), Trigger::Automatic);
}

#[test]
fn an_attempt_links_to_the_recorded_call_that_requested_it() {
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
    // All further attempts belong to the replay.
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
    delivery.apply(&DeliveryFact::Resumed { replay_id, endpoint_id }, now(), Some(steady_now()));
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
    delivery.apply(&DeliveryFact::Resumed { replay_id, endpoint_id }, now(), Some(steady_now()));
    let fact =
        delivery.conclude(under_way, failure(), now(), steady_now(), &RetrySchedule::default());
    delivery.apply(&fact, now(), Some(steady_now()));
    assert_eq!(
        (delivery.state, delivery.due_time()),
        (DeliveryState::Retrying, Some(steady_now()))
    );
    assert_eq!(delivery.automatic_count, 0, "the new schedule is at its beginning");
}

#[test]
fn invariant_3_a_delivery_whose_body_has_expired_has_failed_with_that_reason() {
    for mut delivery in [delivery(), Delivery { state: DeliveryState::Retrying, ..delivery() }] {
        let fact = delivery.expire();
        assert!(fact.is_exhaustion(), "it degrades the endpoint");
        assert_eq!(fact.attempt(), None);
        delivery.apply(&fact, now(), Some(steady_now()));
        assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Failed, None));
        assert_eq!(delivery.end_reason, "the event's body is no longer kept");
        assert_eq!(delivery.attempt_count, 0);
    }
    let test = Delivery { is_test: true, ..delivery() };
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
fn a_manual_retry_that_has_ended_leaves_no_request_behind() {
    let reason = || "by an operator".to_owned();
    let (endpoint_id, event_type) = (EndpointId::MIN, EventType::PolicyViolation);
    let ends: [&dyn Fn(&mut Delivery); 4] = [
        &|it| drop(make(it, failure())),
        &|it| drop(make(it, RequestResult::Succeeded)),
        &|it| it.apply(&DeliveryFact::Cancelled { reason: reason() }, now(), None),
        &|it| {
            let reason = reason();
            let fact = DeliveryFact::Expired { endpoint_id, event_type, is_test: false, reason };
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
    // Tens of thousands of deliveries may wait in a shard.
    let bytes = size_of::<Delivery>();
    assert!(bytes <= 288, "{bytes}");
}

#[test]
fn a_test_is_never_retried() {
    let mut delivery = Delivery { is_test: true, ..delivery() };
    let fact = make(&mut delivery, failure());
    assert_eq!(delivery.state, DeliveryState::Failed);
    assert!(!fact.is_exhaustion(), "and degrades no endpoint");
}

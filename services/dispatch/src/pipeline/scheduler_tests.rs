use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::Version;
use ulid::Ulid;

use super::queue::due_key;
use super::*;

pub(super) const LIMITS: SchedulerLimits = SchedulerLimits {
    requests_per_endpoint: 4,
    requests_per_failing_endpoint: 1,
    requests: 8,
    requests_reserved: 2,
    in_flight_per_endpoint: 5,
    in_flight: 10,
    waiting_per_endpoint: 8,
    waiting: 24,
};

pub(super) const BEGIN: i64 = 1_776_940_200;

/// Seconds after a present time: scheduled deliveries are due after
/// [`DUE_IMMEDIATELY`](keeptrusts_webhooks_domain::delivery::DUE_IMMEDIATELY).
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).expect("in range")
}

pub(super) fn organization() -> OrganizationId {
    "default".parse().expect("valid")
}

pub(super) fn endpoint(number: u128) -> EndpointId {
    EndpointId::new(Ulid(number))
}

pub(super) fn delivery(number: u128, endpoint_id: EndpointId, due: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId::new(Ulid(number)),
        organization_id: organization(),
        event_id: EventId::new(Ulid(number)),
        event_type: EventType::PolicyBlock,
        is_test: false,
        event_time: Some(due),
        endpoint_id,
        state: DeliveryState::Scheduled,
        attempt_count: 0,
        automatic_count: 0,
        next_attempt_time: Some(due),
        steady_due_time: None,
        retry_request_time: None,
        retry_request_trace: None,
        replay_request_trace: None,
        trace: None,
        create_time: due,
        end_reason: String::new(),
        version: Version(0),
    }
}

fn ended(delivery: &Delivery) -> Delivery {
    Delivery {
        state: DeliveryState::Delivered,
        next_attempt_time: None,
        retry_request_time: None,
        version: delivery.version.next(),
        ..delivery.clone()
    }
}

fn finish(scheduler: &mut Scheduler, delivery: &Delivery, end: AttemptEnd) {
    scheduler.request_ended(delivery.endpoint_id, delivery.id, end);
    scheduler.outcome_committed(ended(delivery));
}

fn sent(effects: &[Effect]) -> Vec<Delivery> {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send(delivery) => Some((**delivery).clone()),
        _ => None,
    });
    sends.collect()
}

#[test]
fn a_delivery_is_sent_when_it_is_due_and_not_before() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.scheduled(delivery(1, endpoint(1), at(10)), Position(1));
    assert_eq!(scheduler.poll(at(9)), []);
    assert_eq!(scheduler.next_alarm(), Some(at(10)));
    assert_eq!(sent(&scheduler.poll(at(10))).len(), 1);
    assert_eq!(scheduler.next_alarm(), None);
}

#[test]
fn invariant_8_a_busy_endpoint_leaves_room_for_another() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for number in 0..8 {
        scheduler.scheduled(delivery(number, endpoint(1), at(0)), Position(1));
    }
    assert_eq!(sent(&scheduler.poll(at(0))).len(), LIMITS.requests_per_endpoint);
    scheduler.scheduled(delivery(100, endpoint(2), at(0)), Position(2));
    let second = sent(&scheduler.poll(at(0)));
    assert_eq!(
        second.iter().map(|delivery| delivery.endpoint_id).collect::<Vec<_>>(),
        [endpoint(2)]
    );
}

#[test]
fn invariant_8_busy_endpoints_together_leave_room_for_another() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for number in 0..8 {
        scheduler.scheduled(delivery(number, endpoint(1), at(0)), Position(1));
        scheduler.scheduled(delivery(100 + number, endpoint(2), at(0)), Position(1));
    }
    assert!(sent(&scheduler.poll(at(0))).len() < LIMITS.requests);
    scheduler.scheduled(delivery(200, endpoint(3), at(0)), Position(2));
    assert_eq!(sent(&scheduler.poll(at(0))).len(), 1);
}

#[test]
fn invariant_8_an_endpoint_that_keeps_failing_is_given_fewer_requests_at_once() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for round in 0..4 {
        scheduler.scheduled(delivery(round, endpoint(1), at(0)), Position(1));
        for delivery in sent(&scheduler.poll(at(0))) {
            finish(&mut scheduler, &delivery, AttemptEnd::Failed);
        }
    }
    for number in 10..18 {
        scheduler.scheduled(delivery(number, endpoint(1), at(0)), Position(2));
    }
    let slow = sent(&scheduler.poll(at(0)));
    assert_eq!(slow.len(), LIMITS.requests_per_failing_endpoint);
    finish(&mut scheduler, &slow[0], AttemptEnd::Succeeded);
    assert_eq!(sent(&scheduler.poll(at(0))).len(), LIMITS.requests_per_endpoint);
}

#[test]
fn a_request_that_is_over_makes_room_for_the_next_before_its_outcome_is_committed() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for number in 0..8 {
        scheduler.scheduled(delivery(number, endpoint(1), at(0)), Position(1));
    }
    let first = sent(&scheduler.poll(at(0)));
    assert_eq!(first.len(), LIMITS.requests_per_endpoint);
    for delivery in &first {
        scheduler.request_ended(endpoint(1), delivery.id, AttemptEnd::Succeeded);
    }
    // A crash would repeat no more than these.
    let second = sent(&scheduler.poll(at(0)));
    assert_eq!(first.len() + second.len(), LIMITS.in_flight_per_endpoint);
    scheduler.outcome_committed(ended(&first[0]));
    assert_eq!(sent(&scheduler.poll(at(0))).len(), 1);
}

#[test]
fn invariant_9_no_more_outcomes_wait_for_their_commit_than_the_shards_limit() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    let mut sent_in_all = 0;
    for number in 0..30 {
        scheduler.scheduled(delivery(number, endpoint(number / 5), at(0)), Position(1));
    }
    loop {
        let begun = sent(&scheduler.poll(at(0)));
        if begun.is_empty() {
            break;
        }
        sent_in_all += begun.len();
        for delivery in begun {
            scheduler.request_ended(delivery.endpoint_id, delivery.id, AttemptEnd::Succeeded);
        }
    }
    assert_eq!(sent_in_all, LIMITS.in_flight);
}

#[test]
fn a_closed_endpoint_is_sent_nothing_and_goes_on_from_the_database() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.scheduled(delivery(1, endpoint(1), at(0)), Position(1));
    scheduler.close(endpoint(1));
    assert_eq!(scheduler.poll(at(0)), []);
    scheduler.scheduled(delivery(2, endpoint(1), at(0)), Position(2));
    assert_eq!(scheduler.poll(at(0)), []);
    scheduler.open(endpoint(1));
    let effects = scheduler.poll(at(0));
    let [Effect::Fetch { after, .. }] = effects[..] else { panic!("a fetch, not {effects:?}") };
    assert_eq!(after, DueKey::MIN);
}

/// `count` deliveries to endpoint 1, as many of them in flight as possible.
fn with_backlog(count: u128) -> (Scheduler, Vec<Delivery>) {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for number in 0..count {
        scheduler.scheduled(delivery(number, endpoint(1), at(0)), Position(1));
    }
    let first = sent(&scheduler.poll(at(0)));
    (scheduler, first)
}

#[test]
fn a_pause_holds_the_other_deliveries_and_a_probe_goes_first_when_it_is_over() {
    let (mut scheduler, first) = with_backlog(8);
    assert_eq!(first.len(), LIMITS.requests_per_endpoint);
    // The first response asks for 20 seconds; one of the other attempts under way still succeeds.
    scheduler.pause(endpoint(1), at(20));
    finish(&mut scheduler, &first[0], AttemptEnd::Failed);
    finish(&mut scheduler, &first[1], AttemptEnd::Succeeded);
    finish(&mut scheduler, &first[2], AttemptEnd::Succeeded);
    finish(&mut scheduler, &first[3], AttemptEnd::Succeeded);
    assert_eq!(sent(&scheduler.poll(at(1))), []);
    assert_eq!(scheduler.next_alarm(), Some(at(20)), "and nobody looks before");
    assert_eq!(sent(&scheduler.poll(at(19))), []);

    let probe = sent(&scheduler.poll(at(20)));
    assert_eq!(probe.len(), 1);
    assert_eq!(scheduler.next_alarm(), None, "the probe's end gives the next turn");
    assert_eq!(sent(&scheduler.poll(at(29))), []);
    finish(&mut scheduler, &probe[0], AttemptEnd::Succeeded);
    let second = sent(&scheduler.poll(at(29)));
    assert_eq!(second.len(), 2);
    finish(&mut scheduler, &second[0], AttemptEnd::Succeeded);
    assert_eq!(sent(&scheduler.poll(at(29))).len(), 1, "all that is left");
}

#[test]
fn a_probe_that_is_answered_in_the_same_way_begins_the_next_pause() {
    let (mut scheduler, first) = with_backlog(8);
    scheduler.pause(endpoint(1), at(20));
    first.iter().for_each(|delivery| finish(&mut scheduler, delivery, AttemptEnd::Failed));
    let probe = sent(&scheduler.poll(at(20)));
    scheduler.pause(endpoint(1), at(41));
    finish(&mut scheduler, &probe[0], AttemptEnd::Failed);
    assert_eq!(sent(&scheduler.poll(at(40))), []);
    let probe = sent(&scheduler.poll(at(41)));
    assert_eq!(probe.len(), 1);
    // It fails in another way: still one at a time.
    finish(&mut scheduler, &probe[0], AttemptEnd::Failed);
    assert_eq!(sent(&scheduler.poll(at(41))).len(), 1);
}

#[test]
fn invariant_8_a_pause_affects_one_endpoint_only() {
    let (mut scheduler, _) = with_backlog(8);
    scheduler.pause(endpoint(1), at(20));
    for number in 100..104 {
        scheduler.scheduled(delivery(number, endpoint(2), at(0)), Position(2));
    }
    let other = sent(&scheduler.poll(at(0)));
    assert!(other.len() >= 2 && other.iter().all(|it| it.endpoint_id == endpoint(2)), "{other:?}");
}

#[test]
fn manual_retries_and_tests_wait_neither_for_a_pause_nor_behind_a_backlog() {
    let (mut scheduler, first) = with_backlog(30);
    scheduler.pause(endpoint(1), at(20));
    first.iter().for_each(|delivery| finish(&mut scheduler, delivery, AttemptEnd::Failed));
    assert_eq!(sent(&scheduler.poll(at(1))), []);

    let retry = delivery(200, endpoint(1), at(500));
    scheduler.changed(&organization(), endpoint(1), retry.id);
    assert!(matches!(scheduler.poll(at(1))[..], [Effect::Reload { .. }]));
    scheduler.reloaded(Delivery { retry_request_time: Some(at(1)), ..retry.clone() });
    let test = delivery(201, endpoint(1), at(1));
    scheduler.scheduled(Delivery { is_test: true, ..test }, Position(2));
    let mut passed = Vec::new();
    loop {
        // An endpoint that keeps failing has few requests under way.
        let sent = sent(&scheduler.poll(at(1)));
        let Some(delivery) = sent.first() else { break };
        passed.push((delivery.id.ulid().0, delivery.due_trigger()));
        finish(&mut scheduler, delivery, AttemptEnd::Failed);
    }
    assert_eq!(passed, [(200, Trigger::Manual), (201, Trigger::Test)]);
    assert_eq!(sent(&scheduler.poll(at(19))), []);
    assert_eq!(sent(&scheduler.poll(at(20))).len(), 1);
}

#[test]
fn the_next_owner_finds_a_manual_retry_of_a_paused_endpoint_in_the_database() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.add_backlog(endpoint(1), at(0));
    scheduler.pause(endpoint(1), at(20));
    let [Effect::Fetch { fetch_id, limit, .. }] = scheduler.poll(at(1))[..] else {
        panic!("a fetch")
    };
    let manual = Delivery {
        retry_request_time: Some(at(0)),
        next_attempt_time: None,
        ..delivery(1, endpoint(1), at(0))
    };
    let automatic = (2..=limit as u128).map(|number| delivery(number, endpoint(1), at(0)));
    let deliveries: Vec<_> = std::iter::once(manual).chain(automatic).collect();
    let page = DuePage { as_of: Position(0), deliveries };
    scheduler.fetched(endpoint(1), fetch_id, page, limit);
    let sent = sent(&scheduler.poll(at(1)));
    assert_eq!(sent.iter().map(|it| it.due_trigger()).collect::<Vec<_>>(), [Trigger::Manual]);
    // The rest of the backlog is not fetched before it can be sent.
    finish(&mut scheduler, &sent[0], AttemptEnd::Failed);
    assert_eq!(scheduler.poll(at(2)), []);
    assert_eq!(scheduler.next_alarm(), Some(at(20)));
}

#[test]
fn any_number_of_manual_retries_is_sent_during_a_pause() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.add_backlog(endpoint(1), at(0));
    scheduler.pause(endpoint(1), at(20));
    let manual = |number| Delivery {
        retry_request_time: Some(at(0)),
        ..delivery(number, endpoint(1), at(500))
    };
    // More than are in memory at once, then the automatic ones.
    let mut rows: Vec<_> = (1..=20).map(manual).collect();
    rows.extend((30..60).map(|number| delivery(number, endpoint(1), at(0))));
    let mut passed = Vec::new();
    loop {
        let effects = scheduler.poll(at(1));
        if effects.is_empty() {
            break;
        }
        for effect in effects {
            match effect {
                Effect::Fetch { fetch_id, after, limit, .. } => {
                    let above =
                        rows.iter().filter(|row| due_key(row).is_some_and(|key| key > after));
                    let deliveries = above.take(limit).cloned().collect();
                    let page = DuePage { as_of: Position(0), deliveries };
                    scheduler.fetched(endpoint(1), fetch_id, page, limit);
                }
                Effect::Send(delivery) => {
                    passed.push(delivery.id.ulid().0);
                    rows.retain(|row| row.id != delivery.id);
                    finish(&mut scheduler, &delivery, AttemptEnd::Succeeded);
                }
                Effect::Reload { .. } => unreachable!("nothing has changed"),
            }
        }
    }
    assert_eq!(passed, (1..=20).collect::<Vec<_>>());
    assert_eq!(scheduler.next_alarm(), Some(at(20)), "and nobody looks before");
}

#[test]
fn a_pause_that_is_ended_is_over_at_once() {
    let (mut scheduler, first) = with_backlog(8);
    scheduler.pause(endpoint(1), at(20));
    first.iter().for_each(|delivery| finish(&mut scheduler, delivery, AttemptEnd::Succeeded));
    assert_eq!(sent(&scheduler.poll(at(1))), []);
    scheduler.end_pause(endpoint(1));
    assert_eq!(sent(&scheduler.poll(at(1))).len(), LIMITS.requests_per_endpoint);
}

#[test]
fn a_delivery_that_caused_a_pause_waits_by_its_own_schedule() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.scheduled(delivery(1, endpoint(1), at(0)), Position(1));
    let [answered] = &sent(&scheduler.poll(at(0)))[..] else { panic!("one is sent") };
    scheduler.pause(endpoint(1), at(20));
    scheduler.request_ended(endpoint(1), answered.id, AttemptEnd::Failed);
    scheduler.outcome_committed(Delivery { next_attempt_time: Some(at(60)), ..answered.clone() });
    assert_eq!(scheduler.poll(at(20)), []);
    assert_eq!(scheduler.next_alarm(), Some(at(60)));
    assert_eq!(sent(&scheduler.poll(at(60))).len(), 1);
}

/// A delivery after a response that asks for `wait` seconds from second 1 on.
fn answered(delivery: &Delivery, wait: i64) -> Delivery {
    let state = DeliveryState::Retrying;
    Delivery { state, next_attempt_time: Some(at(1 + wait)), ..delivery.clone() }
}

#[test]
fn the_oldest_answered_event_is_the_probe_if_its_own_wait_is_over() {
    // More than are in memory at once, and all due before the delivery that was answered.
    let (mut scheduler, first) = with_backlog(30);
    scheduler.pause(endpoint(1), at(21));
    for (which, wait) in [(2, 20), (0, 60), (1, 20), (3, 19)] {
        scheduler.request_ended(endpoint(1), first[which].id, AttemptEnd::Failed);
        scheduler.outcome_committed(answered(&first[which], wait));
    }
    assert_eq!(scheduler.poll(at(20)), []);
    let probe = sent(&scheduler.poll(at(21)));
    let ids: Vec<_> = probe.iter().map(|it| it.id).collect();
    assert_eq!(ids, [first[1].id], "0 has a longer wait of its own");
    // All others come in their order.
    finish(&mut scheduler, &probe[0], AttemptEnd::Succeeded);
    let second = sent(&scheduler.poll(at(21)));
    assert_eq!(second.iter().map(|it| it.id.ulid().0).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_probe_that_is_cancelled_or_whose_endpoint_is_closed_is_not_sent() {
    let paused = || {
        let (mut scheduler, first) = with_backlog(1);
        scheduler.pause(endpoint(1), at(21));
        scheduler.request_ended(endpoint(1), first[0].id, AttemptEnd::Failed);
        scheduler.outcome_committed(answered(&first[0], 20));
        (scheduler, first[0].id)
    };
    let (mut scheduler, id) = paused();
    assert_eq!(scheduler.waiting_in_memory(), 1);
    scheduler.changed(&organization(), endpoint(1), id);
    assert!(matches!(scheduler.poll(at(21))[..], [Effect::Reload { .. }]));
    let (mut scheduler, _) = paused();
    scheduler.close(endpoint(1));
    assert_eq!((scheduler.poll(at(21)), scheduler.waiting_in_memory()), (vec![], 0));
}

#[test]
fn a_delivery_that_changed_in_flight_is_read_again_when_its_attempt_has_ended() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.scheduled(delivery(1, endpoint(1), at(0)), Position(1));
    let [in_flight] = &sent(&scheduler.poll(at(0)))[..] else { panic!("one is sent") };
    scheduler.changed(&organization(), endpoint(1), in_flight.id);
    assert_eq!(scheduler.poll(at(0)), []);
    finish(&mut scheduler, in_flight, AttemptEnd::Succeeded);
    assert!(matches!(scheduler.poll(at(0))[..], [Effect::Reload { .. }]));
}

#[test]
fn deliveries_that_are_resumed_are_fetched_together_and_not_one_by_one() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    for number in 1..=100 {
        let delivery_id = DeliveryId::new(Ulid(number));
        let key = DueKey { due_time: at(5), delivery_id };
        scheduler.resumed(&organization(), endpoint(1), key);
    }
    let effects = scheduler.poll(at(5));
    let [Effect::Fetch { after, .. }] = effects[..] else { panic!("one fetch, not {effects:?}") };
    assert!(after < DueKey { due_time: at(5), delivery_id: DeliveryId::new(Ulid(1)) });
}

#[test]
fn a_record_whose_delivery_was_fetched_before_schedules_nothing_again() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    scheduler.add_backlog(endpoint(1), at(0));
    let [Effect::Fetch { fetch_id, limit, .. }] = scheduler.poll(at(0))[..] else {
        panic!("a fetch")
    };
    let page = DuePage { as_of: Position(5), deliveries: vec![delivery(1, endpoint(1), at(0))] };
    scheduler.fetched(endpoint(1), fetch_id, page, limit);
    for delivery in sent(&scheduler.poll(at(0))) {
        finish(&mut scheduler, &delivery, AttemptEnd::Succeeded);
    }
    // Only now the tail of the log comes to the record that scheduled it.
    scheduler.scheduled(delivery(1, endpoint(1), at(0)), Position(5));
    assert_eq!(scheduler.poll(at(0)), []);
}

#[test]
fn a_record_below_a_fetched_page_is_not_taken_for_fetched() {
    let mut scheduler = Scheduler::new(LIMITS, Position(0));
    // As many as requested: there may be more after them.
    let answer = |scheduler: &mut Scheduler, effects: &[Effect], as_of, delivery: Delivery| {
        let fetch_id = effects.iter().find_map(|effect| match effect {
            Effect::Fetch { fetch_id, .. } => Some(*fetch_id),
            _ => None,
        });
        let page = DuePage { as_of: Position(as_of), deliveries: vec![delivery] };
        scheduler.fetched(endpoint(1), fetch_id.expect("a fetch"), page, 1);
        scheduler.poll(at(100))
    };
    scheduler.add_backlog(endpoint(1), at(0));
    let effects = scheduler.poll(at(100));
    let effects = answer(&mut scheduler, &effects, 5, delivery(1, endpoint(1), at(50)));
    // The next page begins after second 50. A delivery of second 40 is not on it.
    let effects = answer(&mut scheduler, &effects, 9, delivery(2, endpoint(1), at(60)));
    assert_eq!(sent(&effects).len(), 1);
    scheduler.scheduled(delivery(3, endpoint(1), at(40)), Position(8));
    assert_eq!(sent(&scheduler.poll(at(100))).len(), 1);
    scheduler.scheduled(delivery(2, endpoint(1), at(60)), Position(9));
    assert_eq!(sent(&scheduler.poll(at(100))).len(), 0, "it was on the page");
}

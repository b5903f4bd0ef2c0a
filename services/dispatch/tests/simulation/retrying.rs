//! Failed deliveries are retried on the schedule: 1 min, 5 min, 30 min, 2 h, 12 h.

use std::time::Duration;

use keeptrusts_webhooks_domain::attempt::{AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;

use crate::world::{REQUEST_TIMEOUT, ReceiverAnswer, Request, World, hours, minutes, seconds};

pub(crate) const SCHEDULE: [Duration; 5] =
    [minutes(1), minutes(5), minutes(30), hours(2), hours(12)];

/// The times between requests.
pub(crate) fn gaps(requests: &[Request]) -> Vec<Duration> {
    let pairs = requests.windows(2);
    let gaps = pairs.map(|pair| Duration::try_from(pair[1].time.duration_since(pair[0].time)));
    gaps.map(|gap| gap.expect("time goes forward")).collect()
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_failing_delivery_is_retried_on_the_schedule_and_then_fails() {
    let world = World::embedded().await;
    let endpoint = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let event = world.publish().await;
    world.pass(hours(48)).await;

    assert_eq!(gaps(&world.requests()), SCHEDULE);
    let delivery = world.delivery_of(event).await;
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Failed, 6));
    let attempts = world.attempts(delivery.id).await;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.details.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes[..5], [AttemptOutcome::Retrying; 5]);
    assert_eq!(outcomes[5], AttemptOutcome::Failed);
    assert!(attempts.iter().all(|attempt| attempt.details.trigger == Trigger::Automatic));
    // The next attempt was made at the time that each attempt had announced.
    for (attempt, next) in attempts.iter().zip(&attempts[1..]) {
        assert_eq!(attempt.next_attempt_time, Some(next.details.start_time));
    }
    let endpoint = world.read_endpoint(endpoint).await;
    assert_eq!(endpoint.state, EndpointState::Degraded);
    let reason = endpoint.state_reason;
    assert!(reason.contains(&delivery.id.to_string()), "names the delivery: {reason}");
}

#[tokio::test(start_paused = true)]
async fn a_degraded_endpoint_is_active_again_after_the_next_success() {
    let world = World::embedded().await;
    let endpoint = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 6]);
    world.publish().await;
    world.pass(hours(24)).await;
    assert_eq!(world.status(endpoint).await, EndpointState::Degraded);

    world.publish().await;
    world.settle().await;
    let endpoint = world.read_endpoint(endpoint).await;
    assert_eq!(endpoint.state, EndpointState::Active);
    assert_eq!(endpoint.state_reason, "");
}

/// Both are recorded in one transaction.
#[tokio::test(start_paused = true)]
async fn an_endpoint_is_active_if_a_success_follows_a_delivery_that_failed_for_good_at_once() {
    for (last, expected) in [
        ([ReceiverAnswer::ERROR, ReceiverAnswer::OK], EndpointState::Active),
        ([ReceiverAnswer::OK, ReceiverAnswer::ERROR], EndpointState::Degraded),
    ] {
        let world = World::embedded().await;
        let endpoint = world.endpoint("siem").await;
        world.network.next("siem", [ReceiverAnswer::ERROR; 10]);
        world.network.next("siem", last);
        world.publish_many(2).await;
        world.pass(hours(24)).await;
        assert_eq!(world.requests().len(), 12);
        assert_eq!(world.status(endpoint).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_not_degraded_before_its_delivery_has_failed_for_good() {
    let world = World::embedded().await;
    let endpoint = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 5]);
    let event = world.publish().await;
    world.pass(hours(14)).await;
    assert_eq!(world.status(endpoint).await, EndpointState::Active);
    world.pass(hours(1)).await;
    assert_eq!(world.delivery_of(event).await.state, DeliveryState::Delivered);
    assert_eq!(world.status(endpoint).await, EndpointState::Active);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_same_bytes_with_the_next_number() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next(
        "siem",
        [
            ReceiverAnswer::Status(503),
            ReceiverAnswer::Hang,
            ReceiverAnswer::Refuse,
            ReceiverAnswer::OK,
        ],
    );
    let event = world.publish().await;
    world.pass(hours(4)).await;

    let requests = world.requests();
    let delivery = world.delivery_of(event).await;
    assert_eq!((delivery.state, requests.len()), (DeliveryState::Delivered, 4));
    for (request, number) in requests.iter().zip(1..) {
        assert_eq!((request.delivery(), request.number()), (delivery.id, number));
        assert_eq!(request.header("webhook-id"), event.to_string());
        assert_eq!(request.body, requests[0].body);
    }
    // The schedule runs from the end of an attempt.
    assert_eq!(gaps(&requests), [minutes(1), minutes(5) + REQUEST_TIMEOUT, minutes(30)]);
    let attempts = world.attempts(delivery.id).await;
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (attempt.details.status_code, attempt.details.duration, attempt.error.as_str())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Some(503), Duration::ZERO, "the receiver answered 503 Service Unavailable"),
            (None, REQUEST_TIMEOUT, "no answer within 10s"),
            (
                None,
                Duration::ZERO,
                "192.0.2.1:443 refused the connection (nothing listens on that port, or a firewall refuses it)"
            ),
            (Some(204), Duration::ZERO, ""),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn every_status_other_than_2xx_is_a_failure() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let failures = [301, 304, 307, 400, 404, 409, 500].map(ReceiverAnswer::Status);
    for answer in failures {
        world.network.next("siem", [answer]);
        let event = world.publish().await;
        world.settle().await;
        let delivery = world.delivery_of(event).await;
        assert_eq!(delivery.state, DeliveryState::Retrying, "{answer:?}");
    }
    assert_eq!(world.requests().len(), failures.len(), "no redirect is followed");
    world.pass(hours(1)).await;
    let states = world.all_deliveries().await.into_iter().map(|delivery| delivery.state);
    assert!(states.into_iter().all(|state| state == DeliveryState::Delivered));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_more_time_is_given_it_up_to_the_schedules_next_step() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next(
        "siem",
        [
            // Later than the minute of the schedule, sooner than the five minutes of its next step.
            ReceiverAnswer::RetryAfter(429, 150),
            // Later than the next step: capped there.
            ReceiverAnswer::RetryAfter(503, 86_400),
            // Sooner than the schedule: not before it.
            ReceiverAnswer::RetryAfter(429, 1),
            ReceiverAnswer::OK,
        ],
    );
    world.publish().await;
    world.pass(hours(4)).await;
    assert_eq!(gaps(&world.requests()), [seconds(150), minutes(30), minutes(30)]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_of_one_endpoint_are_retried_each_in_its_own_time() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 3]);
    for _ in 0..3 {
        world.publish().await;
        world.pass(seconds(20)).await;
    }
    world.pass(minutes(2)).await;
    let requests = world.requests();
    assert_eq!(requests.len(), 6);
    for (first, second) in requests[..3].iter().zip(&requests[3..]) {
        assert_eq!(first.delivery(), second.delivery());
        assert_eq!(gaps(&[first.clone(), second.clone()]), [minutes(1)]);
    }
}

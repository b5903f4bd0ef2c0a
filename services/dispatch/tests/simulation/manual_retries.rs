//! A manual retry neither consumes nor resets the schedule.

use std::time::Duration;

use keeptrusts_webhooks_domain::attempt::{AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;

use crate::world::{REQUEST_TIMEOUT, ReceiverAnswer, World, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_manual_retry_is_made_at_once_and_leaves_the_schedule_as_it_is() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 2]);
    let event = world.publish().await;
    world.pass(seconds(20)).await;
    let before = world.delivery_of(event).await;

    let asked = world.now();
    world.request_retry(before.id).await;
    world.settle().await;
    let requests = world.requests();
    assert_eq!((requests.len(), requests[1].time), (2, asked));
    let after = world.delivery_of(event).await;
    assert_eq!(after.state, DeliveryState::Retrying);
    assert_eq!(after.next_attempt_time, before.next_attempt_time);

    world.pass(minutes(1)).await;
    let attempts = world.attempts(before.id).await;
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (attempt.details.number, attempt.details.trigger, attempt.details.automatic_count)
        })
        .collect();
    let expected =
        [(1, Trigger::Automatic, 1), (2, Trigger::Manual, 1), (3, Trigger::Automatic, 2)];
    assert_eq!(seen, expected);
    assert_eq!(Some(attempts[2].details.start_time), before.next_attempt_time);
}

#[tokio::test(start_paused = true)]
async fn a_manual_retry_that_succeeds_ends_the_delivery() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.request_retry(delivery.id).await;
    world.pass(hours(24)).await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_manual_retry_can_still_deliver_what_has_failed() {
    let world = World::embedded().await;
    let endpoint = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 7]);
    let event = world.publish().await;
    world.pass(hours(24)).await;
    let delivery = world.delivery_of(event).await;
    assert_eq!(delivery.state, DeliveryState::Failed);

    world.request_retry(delivery.id).await;
    world.pass(hours(24)).await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Failed);
    assert_eq!(world.requests().len(), 7, "a manual retry that fails is not followed by others");

    world.request_retry(delivery.id).await;
    world.settle().await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
    assert_eq!(world.attempts(delivery.id).await.len(), 8);
    assert_eq!(world.status(endpoint).await, EndpointState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_delivered_delivery_can_be_sent_once_more() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.request_retry(delivery.id).await;
    world.settle().await;
    let requests = world.requests();
    assert_eq!((requests.len(), requests[1].number()), (2, 2));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_requested_during_an_attempt_is_made_after_it() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Hang, ReceiverAnswer::OK]);
    let event = world.publish().await;
    world.pass(seconds(5)).await;
    let delivery = world.delivery_of(event).await;
    world.request_retry(delivery.id).await;
    world.settle().await;
    assert_eq!(world.requests().len(), 1, "never two attempts of a delivery at once");

    world.pass(seconds(5)).await;
    let requests = world.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].time, requests[0].time + REQUEST_TIMEOUT);
    assert_eq!(
        world.outcomes(delivery.id).await,
        [AttemptOutcome::Retrying, AttemptOutcome::Delivered]
    );
    assert_eq!(world.attempts(delivery.id).await[1].details.trigger, Trigger::Manual);
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_retry_that_is_requested_at_once_does_not_double_the_first_attempt() {
    let mut world = World::shared(1).await;
    world.join("a").await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::Hang);
    world.settle().await;
    // The process has scheduled the delivery, but must look up its changes. It then reads the
    // delivery and the request for a retry at the same time.
    world.database_faults.slow(Duration::from_millis(20));
    let event = world.publish().await;
    world.database_faults.lose_next_answer();
    while world.deliveries(event).await.is_empty() {
        world.settle().await;
    }
    world.request_retry(world.delivery_of(event).await.id).await;
    world.pass(seconds(5)).await;
    assert_eq!(world.requests().len(), 1);
}

//! A cancelled delivery is not attempted again.

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::DeliveryState;

use crate::world::{ReceiverAnswer, World, hours, seconds};

#[tokio::test(start_paused = true)]
async fn a_cancelled_delivery_is_not_tried_again() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.request_cancellation(delivery.id).await;
    world.pass(hours(24)).await;
    let delivery = world.read_delivery(delivery.id).await;
    assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Cancelled, None));
    assert_eq!(delivery.end_reason, "cancelled on request");
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_under_way_when_its_delivery_is_cancelled_may_still_deliver_it() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5))]);
    let event = world.publish().await;
    world.pass(seconds(2)).await;
    let delivery = world.delivery_of(event).await;
    world.request_cancellation(delivery.id).await;
    world.settle().await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Cancelled);
    world.pass(seconds(5)).await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
    assert_eq!(world.outcomes(delivery.id).await, [AttemptOutcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_after_its_delivery_was_cancelled_does_not_revive_it() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Hang]);
    let event = world.publish().await;
    world.pass(seconds(2)).await;
    let delivery = world.delivery_of(event).await;
    world.request_cancellation(delivery.id).await;
    world.pass(hours(24)).await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Cancelled);
    assert_eq!(
        world.outcomes(delivery.id).await,
        [AttemptOutcome::Failed],
        "recorded all the same"
    );
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_has_ended_cannot_be_cancelled() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.request_cancellation(delivery.id).await;
    world.settle().await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_that_was_requested_while_no_process_dispatched_is_carried_out() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.stop().await;
    world.request_cancellation(delivery.id).await;
    world.kill().await;
    world.pass(hours(1)).await;
    world.start().await;
    world.pass(hours(24)).await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Cancelled);
}

//! Waiting deliveries of an endpoint that is deleted are cancelled.

use std::time::Duration;

use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::ids::EndpointId;

use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

/// More than are cancelled at once, and more than are in memory at once.
const MANY: usize = 600;

/// An endpoint for which so many deliveries wait.
async fn endpoint_with_backlog(world: &World) -> EndpointId {
    let endpoint = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.publish_many(MANY).await;
    world.pass(seconds(30)).await;
    assert_eq!(world.deliveries_to(endpoint).await.len(), MANY);
    endpoint
}

fn assert_all_cancelled(deliveries: &[Delivery]) {
    for delivery in deliveries {
        assert_eq!(delivery.state, DeliveryState::Cancelled);
        assert_eq!(delivery.due_time(), None);
        assert_eq!(delivery.end_reason, "the endpoint was deleted");
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_an_endpoint_cancels_its_waiting_deliveries_and_no_others() {
    let world = World::embedded().await;
    let pager = world.endpoint("pager").await;
    world.network.next("pager", [ReceiverAnswer::ERROR; MANY]);
    let siem = endpoint_with_backlog(&world).await;
    world.delete(siem).await;
    world.settle().await;
    assert_all_cancelled(&world.deliveries_to(siem).await);
    let requests = world.requests_to("siem").len();
    world.pass(hours(24)).await;
    assert_eq!(world.requests_to("siem").len(), requests);
    let kept = world.deliveries_to(pager).await;
    assert!(kept.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    world.publish().await;
    world.settle().await;
    assert_eq!(world.deliveries_to(siem).await.len(), MANY);
    assert_eq!(world.missed(siem).await, []);
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_deletion_is_finished_by_the_next_process() {
    let mut world = World::embedded().await;
    let siem = endpoint_with_backlog(&world).await;
    let count = async |world: &World, state| {
        let deliveries = world.deliveries_to(siem).await;
        deliveries.iter().filter(|delivery| delivery.state == state).count()
    };
    world.database_faults.slow(Duration::from_millis(20));
    world.delete(siem).await;
    while count(&world, DeliveryState::Cancelled).await == 0 {
        world.settle().await;
    }
    world.kill().await;
    world.pass(minutes(1)).await;
    assert!(count(&world, DeliveryState::Retrying).await > 0, "killed in the middle of it");
    world.start().await;
    world.pass(seconds(1)).await;
    assert_all_cancelled(&world.deliveries_to(siem).await);
}

#[tokio::test(start_paused = true)]
async fn invariant_2_deliveries_of_events_before_a_deletion_are_scheduled_and_then_cancelled() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.stop().await;
    world.publish_many(MANY).await;
    world.delete(siem).await;
    world.publish().await;
    world.start().await;
    world.pass(minutes(1)).await;
    let deliveries = world.deliveries_to(siem).await;
    assert_eq!(deliveries.len(), MANY);
    assert_all_cancelled(&deliveries);
    assert!(world.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_under_way_when_its_endpoint_is_deleted_may_still_deliver() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5)), ReceiverAnswer::Hang]);
    let events = world.publish_many(2).await;
    world.pass(seconds(1)).await;
    world.delete(siem).await;
    world.pass(hours(24)).await;
    let mut states = Vec::new();
    for event in events {
        states.push(world.delivery_of(event).await.state);
    }
    states.sort();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Cancelled]);
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_requested_after_the_deletion_is_not_made() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;
    world.delete(siem).await;
    world.settle().await;
    let delivery = world.delivery_of(event).await;
    world.request_retry(delivery.id).await;
    world.pass(hours(1)).await;
    let delivery = world.read_delivery(delivery.id).await;
    assert_eq!((delivery.state, delivery.due_time()), (DeliveryState::Delivered, None));
    assert_eq!(world.requests().len(), 1);
}

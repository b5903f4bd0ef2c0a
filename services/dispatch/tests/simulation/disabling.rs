//! A disabled endpoint is sent nothing; its waiting deliveries go on when it is enabled.

use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;

use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_disabled_endpoint_is_sent_nothing_until_it_is_enabled() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.endpoint("pager").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let waiting = world.publish().await;
    world.settle().await;

    world.disable(siem).await;
    let missed = world.publish_many(3).await;
    world.pass(hours(24)).await;
    assert_eq!(world.requests_to("siem").len(), 1, "its waiting retry is paused");
    assert_eq!(world.requests_to("pager").len(), 4, "the other's are not");
    assert_eq!(world.missed(siem).await, missed);
    let deliveries = world.deliveries_to(siem).await;
    assert_eq!(deliveries.len(), 1, "missed events are no deliveries");
    assert_eq!(deliveries[0].event_id, waiting);
    assert_eq!(deliveries[0].state, DeliveryState::Retrying);

    world.enable(siem).await;
    world.settle().await;
    assert_eq!(world.state(deliveries[0].id).await, DeliveryState::Delivered);
    assert_eq!(world.requests_to("siem").len(), 2, "what was missed is not sent by itself");
    world.publish().await;
    world.settle().await;
    assert_eq!(world.requests_to("siem").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_endpoint_stays_disabled_across_a_restart() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 3]);
    world.publish_many(3).await;
    world.settle().await;
    world.disable(siem).await;
    world.restart().await;
    world.pass(hours(1)).await;
    assert_eq!(world.requests().len(), 3);
    world.enable(siem).await;
    world.settle().await;
    assert_eq!(world.requests().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_under_way_when_its_endpoint_is_disabled_is_recorded() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::Slow(seconds(5)), ReceiverAnswer::Hang]);
    let events = world.publish_many(2).await;
    world.pass(seconds(1)).await;
    world.disable(siem).await;
    world.pass(minutes(10)).await;
    let mut states = Vec::new();
    for event in events {
        states.push(world.delivery_of(event).await.state);
    }
    states.sort();
    let expected = [DeliveryState::Retrying, DeliveryState::Delivered];
    assert_eq!(states, expected);
    assert_eq!(world.status(siem).await, EndpointState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_disabled_does_not_become_degraded() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR; 5]);
    world.network.next("siem", [ReceiverAnswer::Hang]);
    let event = world.publish().await;
    let last_attempt = minutes(1 + 5 + 30 + 120 + 720) + seconds(5);
    world.pass(last_attempt).await;
    assert_eq!(world.requests().len(), 6);
    world.disable(siem).await;
    world.pass(minutes(1)).await;
    assert_eq!(world.delivery_of(event).await.state, DeliveryState::Failed);
    assert_eq!(world.status(siem).await, EndpointState::Disabled);
}

//! Invariants 8 and 9: no delivery waits for another endpoint's receiver, and a backlog waits in
//! the database.

use std::time::Duration;

use keeptrusts_webhooks_dispatch_service::scheduler::SchedulerLimits;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;

use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

/// No delivery to a healthy endpoint takes longer than this.
const PROMPTLY: Duration = Duration::from_millis(500);

impl World {
    async fn assert_promptly_delivered(&self, name: &str, event_type: EventType) {
        let published = self.now();
        let event = self.publish_type(event_type).await;
        self.pass(PROMPTLY).await;
        let request = self.requests_to(name).pop().expect("it was sent something");
        assert_eq!(request.header("webhook-id"), event.to_string());
        let took = request.time.duration_since(published);
        assert!(took <= jiff::SignedDuration::try_from(PROMPTLY).expect("short"), "took {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_8_a_hanging_endpoint_does_not_delay_a_healthy_one() {
    let world = World::embedded().await;
    world.endpoint_for("hanging", EventType::ExportFailed).await;
    world.endpoint("healthy").await;
    world.network.always("hanging", ReceiverAnswer::Hang);
    for _ in 0..500 {
        world.publish_type(EventType::ExportFailed).await;
    }
    for _ in 0..60 {
        world.assert_promptly_delivered("healthy", EventType::PolicyViolation).await;
        world.pass(seconds(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_8_many_hanging_endpoints_do_not_delay_a_healthy_one() {
    let world = World::embedded().await;
    for number in 0..300 {
        let name = format!("hanging-{number}");
        world.endpoint_for(&name, EventType::ExportFailed).await;
        world.network.always(&name, ReceiverAnswer::Hang);
    }
    world.endpoint("healthy").await;
    for _ in 0..10 {
        world.publish_type(EventType::ExportFailed).await;
        world.assert_promptly_delivered("healthy", EventType::PolicyViolation).await;
    }
    for _ in 0..5 {
        world.pass(minutes(1)).await;
        world.assert_promptly_delivered("healthy", EventType::PolicyViolation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_9_a_backlog_is_fetched_in_pages_of_bounded_size_and_all_of_it_ends() {
    const BACKLOG: usize = 2_000;
    let mut world = World::embedded().await;
    let dead = world.endpoint("dead").await;
    world.endpoint_for("healthy", EventType::ExportFailed).await;
    world.network.always("dead", ReceiverAnswer::Refuse);
    world.publish_many(BACKLOG).await;
    world.pass(minutes(30)).await;
    world.restart().await;
    world.assert_promptly_delivered("healthy", EventType::ExportFailed).await;
    world.network.heal();
    world.pass(hours(24)).await;
    let deliveries = world.deliveries_to(dead).await;
    assert_eq!(deliveries.len(), BACKLOG);
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    let SchedulerLimits { waiting_per_endpoint, in_flight_per_endpoint, .. } = Default::default();
    // Deliveries in flight are on the page too.
    let limit = waiting_per_endpoint + in_flight_per_endpoint;
    let largest = world.traffic().largest_page();
    assert!(largest <= limit, "asked for {largest} deliveries at once");
}

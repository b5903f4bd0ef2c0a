//! Events reach their subscribers.

use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;

use crate::world::{EVENT_TYPE, World};

#[tokio::test(start_paused = true)]
async fn an_event_reaches_every_subscribed_endpoint_and_no_other() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.endpoint("pager").await;
    world.endpoint_for("exports", EventType::ExportFailed).await;

    let event = world.publish().await;
    world.settle().await;

    let mut reached: Vec<_> = world.requests().into_iter().map(|request| request.to).collect();
    reached.sort();
    assert_eq!(reached, ["pager", "siem"]);
    let deliveries = world.deliveries(event).await;
    assert_eq!(deliveries.len(), 2);
    for delivery in deliveries {
        assert_eq!(delivery.state, DeliveryState::Delivered);
        let attempts = world.attempts(delivery.id).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            (attempts[0].details.number, attempts[0].details.trigger),
            (1, Trigger::Automatic)
        );
        assert_eq!(attempts[0].details.status_code, Some(204));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_subscribers_is_routed_to_no_endpoint() {
    let world = World::embedded().await;
    world.endpoint_for("exports", EventType::ExportFailed).await;
    let event = world.publish().await;
    world.settle().await;
    assert_eq!(world.deliveries(event).await, []);
    assert!(world.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_no_endpoint_of_another_organization() {
    let world = World::embedded().await;
    world.endpoint("ours").await;
    let other = "another-organization".parse().expect("an id");
    world.endpoint_of(&other, "theirs", EVENT_TYPE).await;
    world.publish().await;
    world.settle().await;
    world.try_publish(&other, EVENT_TYPE).await.expect("the event is accepted");
    world.settle().await;
    let reached: Vec<_> = world.requests().into_iter().map(|request| request.to).collect();
    assert_eq!(reached, ["ours", "theirs"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_publishers_data_byte_for_byte() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;
    let body = world.requests().remove(0).body;
    let data = format!(r#","data":{{"number": 1.0, "id":"{event}"}}}}"#);
    assert!(String::from_utf8_lossy(&body).ends_with(&data), "{body:?}");
}

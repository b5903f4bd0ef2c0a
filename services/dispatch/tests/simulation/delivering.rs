//! Events reach their subscribers, as documented.

use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};

use crate::world::{EVENT_TYPE, World, secret};

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
async fn a_request_has_the_documented_headers_and_both_signatures_verify() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;

    let request = world.requests().remove(0);
    let delivery = world.delivery_of(event).await;
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-keeptrusts-event"), EVENT_TYPE.name());
    let event_time = rfc3339::microseconds(delivery.event_time.expect("it is known"));
    assert_eq!(request.header("x-keeptrusts-event-time"), event_time);
    assert_eq!(request.header("x-keeptrusts-delivery"), delivery.id.to_string());
    assert_eq!(request.header("x-keeptrusts-attempt"), "1");
    assert_eq!(request.header("webhook-id"), event.to_string());
    let body = &request.body;
    assert_eq!(request.header("x-keeptrusts-signature"), keeptrusts_signature(&secret(), body));
    let timestamp = request.time.as_second();
    assert_eq!(request.header("webhook-timestamp"), timestamp.to_string());
    let expected = standard_signature(&secret(), event, timestamp, body);
    assert_eq!(request.header("webhook-signature"), expected);
    // The publisher's data, byte for byte.
    let data = format!(r#","data":{{"number": 1.0, "id":"{event}"}}}}"#);
    assert!(String::from_utf8_lossy(body).ends_with(&data), "{body:?}");
}

#[tokio::test(start_paused = true)]
async fn the_stored_exchange_of_an_attempt_matches_its_digest() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    let event = world.publish().await;
    world.settle().await;
    let attempt = world.attempts(world.delivery_of(event).await.id).await.remove(0);
    let exchange = world.exchange_of(&attempt).await;
    let names: Vec<_> = exchange.request_headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"webhook-signature"), "{names:?}");
}

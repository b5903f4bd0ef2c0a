//! A test is one attempt, whatever its outcome.

use keeptrusts_webhooks_domain::attempt::{AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;

use crate::world::{ReceiverAnswer, World, hours};

#[tokio::test(start_paused = true)]
async fn a_test_is_sent_to_its_endpoint_only() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.endpoint("pager").await;
    let delivery = world.send_test(siem).await;
    world.settle().await;
    let requests = world.requests();
    assert_eq!((requests.len(), requests[0].to.as_str()), (1, "siem"));
    assert_eq!(requests[0].header("x-keeptrusts-event"), "webhook.test");
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
    let attempts = world.attempts(delivery).await;
    assert_eq!((attempts.len(), attempts[0].details.trigger), (1, Trigger::Test));
}

#[tokio::test(start_paused = true)]
async fn a_test_that_fails_is_neither_retried_nor_counted_against_the_endpoint() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let delivery = world.send_test(siem).await;
    world.pass(hours(24)).await;
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.state(delivery).await, DeliveryState::Failed);
    assert_eq!(world.outcomes(delivery).await, [AttemptOutcome::Failed]);
    assert_eq!(world.status(siem).await, EndpointState::Active);
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_test_that_was_requested_before_a_crash_is_made_after_it() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.stop().await;
    let delivery = world.send_test(siem).await;
    world.restart().await;
    world.settle().await;
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
    assert_eq!(world.requests().len(), 1);
}

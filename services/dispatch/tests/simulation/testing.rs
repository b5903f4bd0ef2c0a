//! A test is one attempt, whatever its outcome.

use keeptrusts_webhooks_domain::attempt::{AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::replay::{ReplayCounts, ReplayScope, ReplayState};

use crate::world::{EVENT_TYPE, ReceiverAnswer, World, hours, seconds};

#[tokio::test(start_paused = true)]
async fn a_test_is_sent_to_its_endpoint_only() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.endpoint("pager").await;
    // One that no endpoint subscribes to, and one that both do.
    for event_type in [EventType::Test, EventType::KeyRevoked, EVENT_TYPE] {
        let before = world.requests().len();
        let delivery = world.send_test_of(event_type, siem).await;
        world.settle().await;
        let requests = world.requests();
        let [request] = &requests[before..] else { panic!("{requests:?}") };
        assert_eq!(request.to, "siem");
        assert_eq!(request.header("x-keeptrusts-event"), event_type.name());
        assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
        let attempts = world.attempts(delivery).await;
        assert_eq!((attempts.len(), attempts[0].details.trigger), (1, Trigger::Test));
    }
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn a_test_that_fails_is_neither_retried_nor_counted_against_the_endpoint() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    for event_type in [EventType::Test, EVENT_TYPE] {
        let before = world.requests().len();
        let delivery = world.send_test_of(event_type, siem).await;
        world.pass(hours(24)).await;
        assert_eq!(world.requests().len(), before + 1);
        assert_eq!(world.state(delivery).await, DeliveryState::Failed);
        assert_eq!(world.outcomes(delivery).await, [AttemptOutcome::Failed]);
        assert_eq!(world.status(siem).await, EndpointState::Active);
    }
}

#[tokio::test(start_paused = true)]
async fn no_replay_sends_a_test_of_whatever_type() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let pager = world.endpoint("pager").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    for event_type in [EVENT_TYPE, EventType::Test, EVENT_TYPE] {
        world.send_test_of(event_type, siem).await;
        world.settle().await;
    }
    let before = world.requests().len();
    assert_eq!(before, 3);
    for endpoint in [siem, pager] {
        for scope in [ReplayScope::Missed, ReplayScope::Failed, ReplayScope::All] {
            let replay = world.replay(endpoint, scope).await;
            world.pass(seconds(5)).await;
            let replay = world.read_replay(replay).await;
            assert_eq!((replay.state, replay.counts), (ReplayState::Done, ReplayCounts::default()));
        }
    }
    assert_eq!(world.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_test_whose_body_has_expired_degrades_no_endpoint() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.stop().await;
    let delivery = world.send_test_of(EVENT_TYPE, siem).await;
    world.erase_body(world.read_delivery(delivery).await.event_id).await;
    world.restart().await;
    world.settle().await;
    assert_eq!(world.state(delivery).await, DeliveryState::Failed);
    assert_eq!(world.status(siem).await, EndpointState::Active);
    assert!(world.requests().is_empty());
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

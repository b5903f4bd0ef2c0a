//! An endpoint that only fails is disabled after five days, and one that is gone at once.

use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::{EndpointState, StateCause};
use keeptrusts_webhooks_domain::ids::EndpointId;

use crate::world::{ReceiverAnswer, World, hours, minutes};

const GONE: ReceiverAnswer = ReceiverAnswer::Status(410);
const DAYS: u64 = 24;

/// An event every six hours, each of which is attempted at once.
async fn publish_for(world: &World, days: u64) {
    for _ in 0..days * 4 {
        world.publish().await;
        world.pass(hours(6)).await;
    }
}

async fn why(world: &World, endpoint: EndpointId) -> (EndpointState, Option<StateCause>) {
    let endpoint = world.read_endpoint(endpoint).await;
    (endpoint.state, endpoint.state_cause)
}

#[tokio::test(start_paused = true)]
async fn after_five_days_of_nothing_but_failures_an_endpoint_is_disabled() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let began = world.now();
    publish_for(&world, 4).await;
    assert_eq!(
        why(&world, siem).await,
        (EndpointState::Degraded, Some(StateCause::Exhausted)),
        "not yet"
    );
    publish_for(&world, 2).await;
    assert_eq!(why(&world, siem).await, (EndpointState::Disabled, Some(StateCause::FailedTooLong)));
    let endpoint = world.read_endpoint(siem).await;
    let since = format!("nothing but failures since {}", began.strftime("%Y-%m-%dT%H:%M:%SZ"));
    assert!(endpoint.state_reason.starts_with(&since), "{}", endpoint.state_reason);
    let lasted = endpoint.state_time.duration_since(began).as_hours() as u64;
    assert!((5 * DAYS..5 * DAYS + 6).contains(&lasted), "after {lasted} hours");
    let last = world.requests().last().expect("there are some").delivery();
    assert_eq!(endpoint.state_delivery, Some(last));

    // As if somebody had disabled it: deliveries wait, and new events are missed.
    let (requests, missed) = (world.requests().len(), world.missed(siem).await.len());
    publish_for(&world, 2).await;
    assert_eq!(world.requests().len(), requests);
    assert_eq!(world.missed(siem).await.len(), missed + 8);
    world.network.heal();
    world.enable(siem).await;
    world.settle().await;
    assert_eq!(why(&world, siem).await, (EndpointState::Active, None));
    assert!(world.requests().len() > requests, "its paused retries went on");
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn one_success_begins_the_five_days_anew() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    publish_for(&world, 4).await;
    world.network.always("siem", ReceiverAnswer::OK);
    world.publish().await;
    world.settle().await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    publish_for(&world, 4).await;
    assert_eq!(world.status(siem).await, EndpointState::Degraded);
    publish_for(&world, 2).await;
    assert_eq!(world.status(siem).await, EndpointState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_enabled_is_given_five_days_again() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    publish_for(&world, 6).await;
    assert_eq!(world.status(siem).await, EndpointState::Disabled);
    world.enable(siem).await;
    publish_for(&world, 4).await;
    assert_eq!(world.status(siem).await, EndpointState::Degraded);
}

#[tokio::test(start_paused = true)]
async fn the_next_owner_knows_since_when_an_endpoint_fails() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    for _ in 0..5 {
        publish_for(&world, 1).await;
        assert_eq!(world.status(siem).await, EndpointState::Degraded);
        world.kill().await;
        world.start().await;
    }
    publish_for(&world, 1).await;
    assert_eq!(why(&world, siem).await.1, Some(StateCause::FailedTooLong));
}

#[tokio::test(start_paused = true)]
async fn two_failures_with_days_between_them_disable_no_endpoint() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    let first = world.publish().await;
    world.settle().await;
    // It would be retried if it were not cancelled.
    world.request_cancellation(world.delivery_of(first).await.id).await;
    world.pass(hours(10 * DAYS)).await;
    world.network.next("siem", [ReceiverAnswer::ERROR]);
    world.publish().await;
    world.settle().await;
    assert_eq!(world.status(siem).await, EndpointState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_failing_test_does_not_disable_an_endpoint() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", GONE);
    world.send_test(siem).await;
    world.pass(hours(6 * DAYS)).await;
    world.send_test(siem).await;
    world.settle().await;
    assert_eq!(why(&world, siem).await, (EndpointState::Active, None));
}

#[tokio::test(start_paused = true)]
async fn a_failing_test_does_not_begin_the_five_days() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.send_test(siem).await;
    world.pass(hours(4 * DAYS)).await;
    publish_for(&world, 2).await;
    assert_eq!(why(&world, siem).await, (EndpointState::Degraded, Some(StateCause::Exhausted)));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_answers_410_gone_is_disabled_at_once() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.next("siem", [GONE]);
    let event = world.publish().await;
    world.pass(minutes(10)).await;
    assert_eq!(why(&world, siem).await, (EndpointState::Disabled, Some(StateCause::Gone)));
    assert_eq!(world.requests().len(), 1, "it is asked no more");
    let delivery = world.delivery_of(event).await;
    assert_eq!(delivery.state, DeliveryState::Retrying);
    let endpoint = world.read_endpoint(siem).await;
    assert_eq!(endpoint.state_delivery, Some(delivery.id));

    world.enable(siem).await;
    world.settle().await;
    assert_eq!(world.state(delivery.id).await, DeliveryState::Delivered);
    assert_eq!(world.status(siem).await, EndpointState::Active);
}

/// Sixty-four requests at once, all answered 410.
#[tokio::test(start_paused = true)]
async fn many_410_responses_disable_an_endpoint_once() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", GONE);
    world.publish_many(200).await;
    world.pass(minutes(1)).await;
    assert_eq!(why(&world, siem).await.1, Some(StateCause::Gone));
    assert_eq!(world.read_endpoint(siem).await.version.0, 2, "created, disabled");
    world.assert_tables_match_the_log().await;
}

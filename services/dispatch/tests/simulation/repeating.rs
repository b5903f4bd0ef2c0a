//! Requests that are sent again with their `request_id`.

use std::time::Duration;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::limits::REQUEST_ID_LIFETIME;
use tokio::time::timeout;
use tonic::Code;

use crate::watching::client_with_clock;
use crate::world::{ReceiverAnswer, World};

fn test_of(world: &World, endpoint_id: impl ToString) -> v1::SendTestRequest {
    v1::SendTestRequest {
        organization_id: world.organizations[0].to_string(),
        endpoint_id: endpoint_id.to_string(),
        request_id: "r".to_owned(),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_test_waits_for_the_first_ones_outcome_across_a_crash_and_for_a_day() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let mut client = client_with_clock(&world, world.clock());
    let request = test_of(&world, siem);
    // Nobody owns the shard: the callers lose patience one after the other.
    world.stop().await;
    for _ in 0..3 {
        let impatient = client.send_test(request.clone());
        timeout(Duration::from_secs(10), impatient).await.expect_err("nobody sends it");
    }
    world.restart().await;
    let mut client = client_with_clock(&world, world.clock());
    world.network.always("siem", ReceiverAnswer::ERROR);
    let outcome = client.send_test(request.clone()).await.expect("an outcome").into_inner();
    assert!(outcome.duplicate);
    let attempt = outcome.attempt.expect("an attempt");
    assert_eq!(attempt.outcome(), v1::attempt::Outcome::Failed);
    world.settle().await;
    assert_eq!(world.requests().len(), 1, "there is one test");

    world.pass(REQUEST_ID_LIFETIME - Duration::from_secs(60)).await;
    let again = client.send_test(request.clone()).await.expect("an outcome").into_inner();
    // Its content has expired meanwhile.
    assert_eq!(again.attempt.map(|attempt| attempt.id), Some(attempt.id));
    assert!(again.duplicate);
    let pager = test_of(&world, world.endpoint("pager").await);
    let reused = client.send_test(pager.clone()).await.expect_err("the id is used");
    assert_eq!(reused.code(), Code::AlreadyExists);
    world.pass(Duration::from_secs(60)).await;
    let other = client.send_test(pager).await.expect("after a day it is free").into_inner();
    assert!(!other.duplicate);
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_retry_requests_no_other_attempt() {
    let mut world = World::without_retries().await;
    world.start().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let event = world.publish().await;
    world.settle().await;
    let delivery = world.delivery_of(event).await.id;
    let mut client = client_with_clock(&world, world.clock());
    let request = v1::RetryDeliveryRequest {
        organization_id: world.organizations[0].to_string(),
        delivery_id: delivery.to_string(),
        request_id: "r".to_owned(),
    };
    for number in 0..3 {
        let answer = client.retry_delivery(request.clone()).await.expect("it is requested");
        assert_eq!(answer.into_inner().duplicate, number > 0);
        world.settle().await;
        assert_eq!(world.requests().len(), 2, "the first attempt and one retry");
    }
}

//! States that nothing records: what waits at a disabled endpoint is paused, and an endpoint that only fails
//! is failing.

use std::collections::BTreeMap;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::{delivery, endpoint};
use keeptrusts_webhooks_domain::ids::DeliveryId;

use crate::watching::client;
use crate::world::{ReceiverAnswer, World, hours, minutes, seconds};

async fn get(world: &World, id: DeliveryId) -> v1::Delivery {
    let request = v1::GetDeliveryRequest {
        organization_id: world.organizations[0].to_string(),
        delivery_id: id.to_string(),
        ..Default::default()
    };
    let answer = client(world).get_delivery(request).await.expect("it is there");
    answer.into_inner().delivery.expect("a delivery")
}

/// The state of the only endpoint that had attempts, as the health summary has it.
async fn endpoint_state(world: &World) -> endpoint::State {
    let request = v1::GetHealthSummaryRequest {
        organization_id: world.organizations[0].to_string(),
        time: Some(timestamp_to_proto(world.now())),
    };
    let answer = client(world).get_health_summary(request).await.expect("a summary");
    answer.into_inner().endpoints[0].state()
}

/// The deliveries in one of these states, page by page.
async fn listed(world: &World, states: &[delivery::State]) -> Vec<(String, delivery::State)> {
    let mut request = v1::ListDeliveriesRequest {
        organization_id: world.organizations[0].to_string(),
        page_size: 1,
        states: states.iter().map(|state| (*state).into()).collect(),
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let answer = client(world).list_deliveries(request.clone()).await.expect("listed");
        let v1::ListDeliveriesResponse { deliveries, next_page_token } = answer.into_inner();
        found.extend(deliveries.iter().map(|row| (row.id.clone(), row.state())));
        if next_page_token.is_empty() {
            return found;
        }
        request.page_token = next_page_token;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_a_disabled_endpoint_is_paused_until_it_is_enabled() {
    use delivery::State::{Delivered, Paused, Retrying, Scheduled};
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let delivered = world.publish().await;
    world.settle().await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let event = world.publish().await;
    world.settle().await;
    let id = world.delivery_of(event).await.id;
    let shown = |state| vec![(id.to_string(), state)];
    assert_eq!(get(&world, id).await.state(), Retrying);
    assert_eq!(listed(&world, &[Paused]).await, []);

    world.disable(siem).await;
    world.pass(minutes(10)).await;
    let waits = get(&world, id).await;
    assert_eq!((waits.state(), waits.attempt_count), (Paused, 1));
    assert!(waits.next_attempt_time.is_some(), "it is due, and waits");
    assert_eq!(listed(&world, &[Paused]).await, shown(Paused));
    assert_eq!(listed(&world, &[Retrying, Scheduled]).await, []);
    let ended = (world.delivery_of(delivered).await.id.to_string(), Delivered);
    let both = [shown(Paused), vec![ended]].concat();
    assert_eq!(listed(&world, &[]).await, both);
    assert_eq!(listed(&world, &[Delivered, Paused, Retrying]).await, both);

    world.network.heal();
    world.enable(siem).await;
    assert_ne!(get(&world, id).await.state(), Paused);
    world.pass(hours(1)).await;
    assert_eq!(get(&world, id).await.state(), Delivered);
    assert_eq!(listed(&world, &[Paused]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_a_delivery_paused_whose_endpoint_was_disabled_during_its_attempt() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::SlowStatus(seconds(5), 500));
    let request = v1::WatchDeliveriesRequest {
        organization_id: world.organizations[0].to_string(),
        ..Default::default()
    };
    let mut watched = client(&world).watch_deliveries(request).await.expect("watches").into_inner();
    let mut next = async || {
        let change = next_shown(&mut watched).await.expect("goes on").expect("a change");
        change.delivery.expect("a delivery").state()
    };
    world.publish().await;
    assert_eq!(next().await, delivery::State::Scheduled);
    world.disable(siem).await;
    assert_eq!(next().await, delivery::State::Paused, "it failed, and waits");
    world.network.heal();
    world.enable(siem).await;
    assert_eq!(next().await, delivery::State::Delivered);
}

#[tokio::test(start_paused = true)]
async fn of_changes_that_are_read_together_those_at_the_disabled_endpoint_are_paused() {
    let world = World::embedded().await;
    let (pager, siem) = (world.endpoint("pager").await, world.endpoint("siem").await);
    for name in ["pager", "siem"] {
        world.network.always(name, ReceiverAnswer::SlowStatus(seconds(5), 500));
    }
    for (disabled, other) in [(pager, siem), (siem, pager)] {
        let request = v1::WatchDeliveriesRequest {
            organization_id: world.organizations[0].to_string(),
            ..Default::default()
        };
        let watched = client(&world).watch_deliveries(request).await.expect("watches");
        let mut watched = watched.into_inner();
        world.publish().await;
        world.pass(seconds(1)).await;
        world.disable(disabled).await;
        world.pass(seconds(10)).await;
        let mut states = BTreeMap::new();
        // Scheduled, and failed, at each endpoint.
        for _ in 0..4 {
            let change = next_shown(&mut watched).await.expect("goes on").expect("a change");
            let delivery = change.delivery.expect("a delivery");
            let state = delivery.state();
            states.insert(delivery.endpoint_id, state);
        }
        assert_eq!(states[&disabled.to_string()], delivery::State::Paused);
        assert_eq!(states[&other.to_string()], delivery::State::Retrying);
        world.enable(disabled).await;
        world.pass(hours(24)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_changes_and_full_lists_show_that_a_delivery_is_paused() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let event = world.publish().await;
    world.settle().await;
    let id = world.delivery_of(event).await.id;
    let retry = async || {
        let request = v1::RetryDeliveryRequest {
            organization_id: world.organizations[0].to_string(),
            delivery_id: id.to_string(),
            request_id: "once".to_owned(),
        };
        let answer = client(&world).retry_delivery(request).await.expect("retried").into_inner();
        (answer.duplicate, answer.delivery.expect("a delivery").state())
    };
    assert_eq!(retry().await, (false, delivery::State::Retrying));
    world.settle().await;
    world.disable(siem).await;
    assert_eq!(retry().await, (true, delivery::State::Paused), "as it is now");
    let request = v1::ListDeliveriesRequest {
        organization_id: world.organizations[0].to_string(),
        view: v1::DeliveryView::Full.into(),
        ..Default::default()
    };
    let listed = client(&world).list_deliveries(request).await.expect("listed").into_inner();
    let states: Vec<_> = listed.deliveries.iter().map(v1::Delivery::state).collect();
    assert_eq!(states, [delivery::State::Paused]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_failing_two_minutes_after_its_first_failure_although_nothing_is_recorded() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    let begun = world.now();
    world.publish().await;
    world.settle().await;
    assert_eq!(endpoint_state(&world).await, endpoint::State::Active);
    // It fails again a minute later, which is not often enough.
    world.pass(seconds(119)).await;
    assert_eq!(world.requests_to("siem").len(), 2);
    assert_eq!(endpoint_state(&world).await, endpoint::State::Active);
    let records = world.logs().await;
    let rest = Duration::try_from(world.now().duration_since(begun)).expect("later");
    world.pass(minutes(2) + Duration::from_millis(2) - rest).await;
    assert_eq!(endpoint_state(&world).await, endpoint::State::Failing);
    assert_eq!(world.logs().await, records, "time alone has done it");

    world.network.heal();
    world.publish().await;
    world.settle().await;
    assert_eq!(endpoint_state(&world).await, endpoint::State::Active);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_failing_at_once_after_three_failures_and_a_test_is_none() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.publish_many(2).await;
    world.send_test(siem).await;
    world.settle().await;
    assert_eq!(world.requests_to("siem").len(), 3);
    assert_eq!(endpoint_state(&world).await, endpoint::State::Active);
    world.publish().await;
    world.settle().await;
    assert_eq!(endpoint_state(&world).await, endpoint::State::Failing);
}

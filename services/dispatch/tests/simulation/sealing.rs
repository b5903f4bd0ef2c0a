//! Secrets are opened when a request is signed, with data keys from the database.

use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::ids::OrganizationId;

use crate::world::{EVENT_TYPE, Outage, ReceiverAnswer, World, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn while_the_keys_cannot_be_read_deliveries_wait_and_no_attempt_is_wasted() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    // The third attempt is due after six minutes, when the keys in memory have expired.
    world.network.next("siem", [ReceiverAnswer::ERROR; 2]);
    let event = world.publish().await;
    world.pass(minutes(5)).await;
    world.database_faults.set_outage(Some(Outage::Total));
    world.pass(minutes(3)).await;
    assert_eq!(world.requests().len(), 2);
    world.database_faults.stop();
    world.pass(seconds(5)).await;
    let delivery = world.delivery_of(event).await;
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Delivered, 3));
}

#[tokio::test(start_paused = true)]
async fn many_endpoints_of_few_organizations_take_few_queries_for_their_keys() {
    const ENDPOINTS: usize = 200;
    let world = World::embedded().await;
    for number in 0..ENDPOINTS {
        world.endpoint(&format!("endpoint-{number}")).await;
    }
    let queries = || world.traffic().calls().get("data_keys").copied().unwrap_or_default();
    world.pass(minutes(10)).await;
    let before = queries();
    for _ in 0..5 {
        world.publish().await;
        world.settle().await;
    }
    assert_eq!(world.requests().len(), 5 * ENDPOINTS);
    let asked = queries() - before;
    assert!((1..=10).contains(&asked), "{asked} queries");
}

#[tokio::test(start_paused = true)]
async fn waiting_deliveries_of_an_erased_organization_fail_with_a_reason_and_others_continue() {
    let world = World::embedded().await;
    let erased = world.organizations[0].clone();
    let kept: OrganizationId = "kept".parse().expect("an id");
    world.endpoint("siem").await;
    world.endpoint_of(&kept, "pager", EVENT_TYPE).await;
    world.publish().await;
    world.settle().await;
    world.erase(&erased).await;
    // The key is not used for longer than this.
    world.pass(minutes(5)).await;

    let event = world.publish().await;
    world.try_publish(&kept, EVENT_TYPE).await.expect("accepted");
    world.pass(hours(24)).await;
    assert_eq!(world.requests_to("siem").len(), 1, "none after it was erased");
    assert_eq!(world.requests_to("pager").len(), 1);
    let delivery = world.delivery_of(event).await;
    assert_eq!(delivery.state, DeliveryState::Failed);
    for attempt in world.attempts(delivery.id).await {
        assert!(attempt.error.contains("the organization was erased"), "{}", attempt.error);
    }
    let created = world.try_endpoint_of(&erased, "another", EVENT_TYPE).await;
    created.expect_err("nothing is sealed for it any more");
}

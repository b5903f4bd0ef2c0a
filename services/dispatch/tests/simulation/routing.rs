//! Invariant 2: every event is routed once, by the endpoints as of its position.

use std::collections::{BTreeMap, BTreeSet};

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_store::Record;

use crate::world::{World, minutes};

impl World {
    /// The endpoints that an event was routed to.
    async fn routed_to(&self, event_id: EventId) -> BTreeSet<EndpointId> {
        let deliveries = self.deliveries(event_id).await;
        deliveries.into_iter().map(|delivery| delivery.endpoint_id).collect()
    }

    /// Each accepted event, with how often it was routed.
    pub(crate) async fn routings(&self) -> Vec<(EventId, usize)> {
        let mut routings = BTreeMap::new();
        for record in self.logs().await.into_iter().flatten() {
            let Stream::Event(id) = record.stream else { continue };
            let count: &mut usize = routings.entry(id).or_default();
            *count += usize::from(matches!(record.fact, Fact::DeliveriesScheduled(_)));
        }
        routings.into_iter().collect()
    }

    /// Whether the commit that accepted an event has routed it.
    async fn is_routed_at_acceptance(&self, event_id: EventId) -> bool {
        let is_routed = |record: &Record| {
            record.stream == Stream::Event(event_id)
                && matches!(&record.fact, Fact::EventAccepted(accepted) if accepted.is_routed)
        };
        self.logs().await.into_iter().flatten().any(|record| is_routed(&record))
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_2_an_event_is_routed_at_acceptance_as_endpoints_stand_there() {
    let world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.settle().await;
    let quiet = world.publish().await;
    assert!(world.is_routed_at_acceptance(quiet).await, "the owner knows the endpoints");
    // The owner has not read of the changes when the next events are accepted.
    let pager = world.endpoint("pager").await;
    let both = world.publish().await;
    world.disable(siem).await;
    let pager_only = world.publish().await;
    world.delete(pager).await;
    let nobody = world.publish().await;
    world.settle().await;
    assert_eq!(world.routed_to(quiet).await, BTreeSet::from([siem]));
    assert_eq!(world.routed_to(both).await, BTreeSet::from([siem, pager]));
    assert_eq!(world.routed_to(pager_only).await, BTreeSet::from([pager]));
    assert_eq!(world.routed_to(nobody).await, BTreeSet::new());
    let after = world.publish().await;
    assert!(world.is_routed_at_acceptance(after).await, "the owner has read of them");
    world.pass(minutes(1)).await;
    assert!(world.routings().await.iter().all(|(_, count)| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_what_is_routed_at_acceptance_is_not_routed_again_by_the_next_owner() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    world.settle().await;
    for _ in 0..3 {
        let event = world.publish().await;
        assert!(world.is_routed_at_acceptance(event).await);
        world.kill().await;
        world.start().await;
        world.pass(minutes(1)).await;
        assert_eq!(world.routed_to(event).await, BTreeSet::from([siem]));
    }
    assert!(world.routings().await.iter().all(|(_, count)| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_events_are_routed_as_endpoints_stood_at_their_positions() {
    let mut world = World::embedded().await;
    let siem = world.endpoint("siem").await;
    let pager = world.endpoint("pager").await;
    // Once with the log in memory, once by a process that must read all of it.
    for kills in [false, true] {
        world.enable(siem).await;
        world.subscribe(pager, EventType::PolicyViolation).await;
        // The checkpoint comes after these: they are not read again.
        world.publish().await;
        world.settle().await;
        world.stop().await;
        let both = world.publish().await;
        let audit = world.endpoint("audit").await;
        let three = world.publish().await;
        world.disable(siem).await;
        let without_siem = world.publish().await;
        world.subscribe(pager, EventType::ExportFailed).await;
        let audit_only = world.publish().await;
        let export = world.publish_type(EventType::ExportFailed).await;
        world.enable(siem).await;
        world.delete(audit).await;
        let siem_only = world.publish().await;
        world.disable(siem).await;
        if kills {
            world.kill().await;
        }
        world.start().await;
        world.pass(minutes(1)).await;

        assert_eq!(world.routed_to(both).await, BTreeSet::from([siem, pager]));
        assert_eq!(world.routed_to(three).await, BTreeSet::from([siem, pager, audit]));
        assert_eq!(world.routed_to(without_siem).await, BTreeSet::from([pager, audit]));
        assert_eq!(world.routed_to(audit_only).await, BTreeSet::from([audit]));
        assert_eq!(world.routed_to(export).await, BTreeSet::from([pager]));
        assert_eq!(world.routed_to(siem_only).await, BTreeSet::from([siem]));
        let after = world.publish().await;
        world.settle().await;
        assert_eq!(world.routed_to(after).await, BTreeSet::new());
        let missed = world.missed(siem).await;
        assert_eq!(missed.last_chunk(), Some(&[without_siem, audit_only, after]));
    }
    assert!(world.routings().await.iter().all(|(_, count)| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_a_crash_between_events_neither_repeats_nor_skips_a_routing() {
    let mut world = World::embedded().await;
    world.endpoint("siem").await;
    let mut events = Vec::new();
    for round in 0..20 {
        events.extend(world.publish_many(round % 4).await);
        if round % 3 == 0 {
            world.settle().await;
        }
        world.restart().await;
        events.push(world.publish().await);
    }
    world.pass(minutes(1)).await;
    events.sort();
    let expected: Vec<_> = events.into_iter().map(|event| (event, 1)).collect();
    assert_eq!(world.routings().await, expected);
}

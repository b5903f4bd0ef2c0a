//! Invariant 5: processes share the shards, take over from dead ones, and cannot commit to shards
//! that they have lost.

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_dispatch_service::Settings;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_store::ShardLease;

use crate::world::{EVENT_TYPE, Outage, ReceiverAnswer, World, hours, minutes, seconds};

const SHARDS: u16 = 16;

/// Two processes, each with its share, and an endpoint `siem-<number>` on each shard.
async fn two_processes() -> World {
    let mut world = World::shared(SHARDS).await;
    for (number, organization) in world.organizations.iter().enumerate() {
        world.endpoint_of(organization, &format!("siem-{number}"), EVENT_TYPE).await;
    }
    world.join("a").await;
    world.join("b").await;
    world.pass(seconds(30)).await;
    world
}

impl World {
    async fn publish_on_every_shard(&self) -> Vec<EventId> {
        let mut events = Vec::new();
        for organization in &self.organizations {
            let event = self.try_publish(organization, EVENT_TYPE).await;
            events.push(event.expect("the event is accepted"));
        }
        events
    }

    /// An organization whose shard a process has.
    async fn organization_of(&self, process: &str) -> OrganizationId {
        let leases = self.leases().await;
        let is_its = |lease: &ShardLease| {
            lease.owner.as_ref().is_some_and(|owner| owner.starts_with(process))
        };
        let mut owned = self.organizations.iter().zip(&leases).filter(|(_, lease)| is_its(lease));
        owned.next().expect("it has a shard").0.clone()
    }

    fn appends_of(&self, process: &str) -> usize {
        self.traffic_of(process).calls().get("append").copied().unwrap_or_default()
    }

    fn requests_by(&self, process: &str) -> usize {
        self.requests().iter().filter(|request| request.from == process).count()
    }

    fn always_everywhere(&self, answer: ReceiverAnswer) {
        for number in 0..SHARDS {
            self.network.always(&format!("siem-{number}"), answer);
        }
    }

    async fn assert_all_delivered(&self, events: &[EventId]) {
        for event in events {
            assert_eq!(self.delivery_of(*event).await.state, DeliveryState::Delivered);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_the_shards_evenly() {
    let world = two_processes().await;
    assert_eq!(world.shards_of("a").await, 8);
    assert_eq!(world.shards_of("b").await, 8);
    let events = world.publish_on_every_shard().await;
    world.settle().await;
    world.assert_all_delivered(&events).await;
    assert_eq!((world.requests_by("a"), world.requests_by("b")), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn a_third_process_is_given_its_share() {
    let mut world = two_processes().await;
    world.join("c").await;
    world.pass(seconds(30)).await;
    let mut shares =
        [world.shards_of("a").await, world.shards_of("b").await, world.shards_of("c").await];
    shares.sort();
    assert_eq!(shares, [5, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_dead_process_is_replaced_within_its_leases_time_to_live() {
    let time_to_live = Settings::default().lease_time_to_live;
    for moment in [0, 700, 1_900, 3_100] {
        let mut world = two_processes().await;
        world.pass(Duration::from_millis(moment)).await;
        world.crash("a");
        let events = world.publish_on_every_shard().await;
        // The survey that shows the lease's end comes a moment after it.
        world.pass(time_to_live + Duration::from_millis(50)).await;
        assert_eq!(world.shards_of("b").await, usize::from(SHARDS));
        world.assert_all_delivered(&events).await;
        assert_eq!(world.requests_by("a"), 0);
        world.pass(minutes(1)).await;
        assert_eq!(world.shards_of("b").await, usize::from(SHARDS), "and keeps them");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_frozen_process_commits_nothing_once_its_shards_have_passed_on() {
    let world = two_processes().await;
    world.always_everywhere(ReceiverAnswer::Slow(seconds(2)));
    let events = world.publish_on_every_shard().await;
    world.pass(seconds(1)).await;
    // Its requests are answered while it is frozen; it learns of the answers too late.
    world.freeze("a");
    world.pass(seconds(30)).await;
    assert_eq!(world.shards_of("b").await, usize::from(SHARDS));
    world.assert_all_delivered(&events).await;
    let (attempts, requests) = (world.all_attempts().await, world.requests().len());
    assert_eq!(attempts.len(), usize::from(SHARDS), "each was committed once");
    assert_eq!(requests, usize::from(SHARDS) + 8, "only what the frozen one had under way twice");

    world.thaw("a");
    world.pass(minutes(1)).await;
    assert_eq!(world.all_attempts().await, attempts);
    assert_eq!(world.requests().len(), requests);
    assert_eq!((world.shards_of("a").await, world.shards_of("b").await), (8, 8));
    world.assert_tables_match_the_log().await;
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_machine_that_wakes_up_past_its_lease_sends_nothing() {
    let world = two_processes().await;
    let organization = world.organization_of("a").await;
    world.wake("a", minutes(5));
    let event = world.try_publish(&organization, EVENT_TYPE).await.expect("it is accepted");
    world.settle().await;
    assert_eq!(world.requests().len(), 0, "by now the shard may be another's");
    world.pass(minutes(1)).await;
    assert_eq!(world.delivery_of(event).await.state, DeliveryState::Delivered);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn invariant_5_calls_of_a_frozen_process_that_arrive_late_are_refused() {
    let world = two_processes().await;
    let before = world.appends_of("a");
    let organization = world.organization_of("a").await;
    world.database_faults.slow(Duration::from_millis(50));
    let event = world.try_publish(&organization, EVENT_TYPE).await.expect("it is accepted");
    while world.appends_of("a") == before {
        world.settle().await;
    }
    world.freeze("a");
    world.database_faults.stop();
    world.pass(seconds(30)).await;
    world.assert_all_delivered(&[event]).await;
    let logs = world.logs().await;
    world.thaw("a");
    world.settle().await;
    assert!(world.traffic_of("a").fenced_off() > 0, "it tried, and was refused");
    assert_eq!(world.logs().await, logs);
    assert!(world.routings().await.iter().all(|(_, count)| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_5_an_outcome_that_a_frozen_process_was_recording_is_refused() {
    let world = two_processes().await;
    let organization = world.organization_of("a").await;
    world.always_everywhere(ReceiverAnswer::Slow(seconds(1)));
    let event = world.try_publish(&organization, EVENT_TYPE).await.expect("it is accepted");
    world.settle().await;
    world.always_everywhere(ReceiverAnswer::Hang);
    let before = world.appends_of("a");
    world.database_faults.slow(Duration::from_millis(50));
    while world.appends_of("a") == before {
        world.settle().await;
    }
    world.freeze("a");
    world.database_faults.stop();
    // The other process has the shard, and an attempt of its own under way.
    world.pass(seconds(15)).await;
    assert_eq!(world.requests().len(), 2);
    let logs = world.logs().await;
    world.thaw("a");
    world.settle().await;
    assert!(world.traffic_of("a").fenced_off() > 0, "it tried, and was refused");
    assert_eq!(world.logs().await, logs);
    world.pass(minutes(2)).await;
    let delivery = world.delivery_of(event).await;
    assert_eq!(world.outcomes(delivery.id).await, [AttemptOutcome::Retrying; 2]);
}

#[tokio::test(start_paused = true)]
async fn invariant_5_no_two_processes_work_on_a_shard() {
    let mut world = two_processes().await;
    world.always_everywhere(ReceiverAnswer::Slow(seconds(1)));
    // Processes come, go, die and freeze, while events come in.
    for round in 0..12 {
        world.publish_on_every_shard().await;
        match round % 4 {
            0 => world.freeze("a"),
            1 => world.thaw("a"),
            2 => world.crash("b"),
            _ => world.join("b").await,
        }
        world.pass(seconds(17)).await;
    }
    world.pass(hours(1)).await;
    let deliveries = world.all_deliveries().await;
    assert_eq!(deliveries.len(), 12 * usize::from(SHARDS));
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    let mut recorded = HashMap::new();
    for attempt in world.all_attempts().await {
        *recorded.entry((attempt.delivery_id, attempt.details.number)).or_insert(0) += 1;
    }
    assert!(recorded.values().all(|count| *count == 1), "every attempt was committed once");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_hands_its_shards_over_promptly_and_repeats_nothing() {
    let mut world = two_processes().await;
    world.always_everywhere(ReceiverAnswer::Slow(seconds(2)));
    let events = world.publish_on_every_shard().await;
    world.pass(seconds(1)).await;
    let begun = world.now();
    world.leave("a").await;
    let took = world.now().duration_since(begun);
    assert!(took <= jiff::SignedDuration::from_secs(2), "only what is under way: {took}");
    // The other process surveys at least three times in a lease's time to live.
    world.pass(Settings::default().lease_time_to_live / 3 + Duration::from_millis(5)).await;
    assert_eq!(world.shards_of("b").await, usize::from(SHARDS));
    world.assert_all_delivered(&events).await;
    assert_eq!(world.requests().len(), usize::from(SHARDS));
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_process_that_cannot_renew_its_lease_stops_sending_before_it_ends() {
    let mut world = World::shared(1).await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.join("a").await;
    world.settle().await;
    // Every two seconds a retry becomes due.
    for _ in 0..30 {
        world.publish().await;
        world.pass(seconds(2)).await;
    }
    world.pass(seconds(4)).await;
    let lost = world.now();
    world.database_faults.set_outage(Some(Outage::Writes));
    world.pass(minutes(3)).await;
    let last = world.requests().pop().expect("there are requests").time;
    let lease_ends = lost + Settings::default().lease_time_to_live;
    assert!(last > lost && last < lease_ends, "{last}, though the lease ended at {lease_ends}");

    world.database_faults.set_outage(None);
    world.network.heal();
    world.pass(hours(1)).await;
    let deliveries = world.all_deliveries().await;
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_renewed_lease_counts_from_its_request_however_late_the_answer() {
    let mut world = World::shared(1).await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.join("a").await;
    world.settle().await;
    // From here on a retry becomes due every second.
    for _ in 0..90 {
        world.publish().await;
        world.pass(seconds(1)).await;
    }
    let renewals = || world.traffic_of("a").calls()["renew_lease"];
    let before = renewals();
    let on_the_way = Duration::from_millis(2_500);
    world.database_faults.slow(on_the_way);
    while renewals() == before {
        world.settle().await;
    }
    // The database renews it now; the answer takes as long again.
    world.pass(on_the_way + Duration::from_millis(10)).await;
    let lease = world.leases().await.remove(0);
    let lease_ends = world.now() + lease.expires_in;
    assert!(lease.expires_in > Settings::default().lease_time_to_live - seconds(1), "just renewed");
    world.database_faults.set_outage(Some(Outage::Writes));
    world.pass(minutes(3)).await;
    let last = world.requests().pop().expect("there are requests").time;
    assert!(last < lease_ends, "{last}, though the lease ended at {lease_ends}");
    assert!(last > lease_ends - seconds(6), "{last}: it was relied on until then");
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_lease_counts_from_its_request_however_late_it_is_granted() {
    let mut world = World::shared(1).await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.join("a").await;
    world.settle().await;
    for _ in 0..90 {
        world.publish().await;
        world.pass(seconds(1)).await;
    }
    world.leave("a").await;
    let on_the_way = Duration::from_millis(2_500);
    world.database_faults.slow(on_the_way);
    world.join("b").await;
    while !world.traffic_of("b").calls().contains_key("acquire_lease") {
        world.pass(Duration::from_millis(10)).await;
    }
    // The database grants it now, and the answer takes as long again; everything else is quick
    // again.
    world.pass(on_the_way + Duration::from_millis(10)).await;
    let lease = world.leases().await.remove(0);
    assert!(lease.owner.is_some_and(|owner| owner.starts_with('b')), "it is granted");
    let lease_ends = world.now() + lease.expires_in;
    world.database_faults.slow(Duration::ZERO);
    world.pass(on_the_way).await;
    world.database_faults.set_outage(Some(Outage::Writes));
    let before = world.requests().len();
    world.pass(minutes(3)).await;
    assert!(world.requests().len() > before, "it has worked on the shard");
    let last = world.requests().pop().expect("there are requests").time;
    assert!(last < lease_ends, "{last}, though the lease ended at {lease_ends}");
}

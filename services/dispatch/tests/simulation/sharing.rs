//! Invariant 5: processes share the shards, take over from the dead, and are kept from
//! committing what is not theirs any more.

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_dispatch_service::Settings;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::ids::EventId;

use crate::world::{Answer, EVENT_TYPE, World, hours, minutes, seconds};

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

    fn requests_by(&self, process: &str) -> usize {
        self.requests().iter().filter(|request| request.from == process).count()
    }

    fn always_everywhere(&self, answer: Answer) {
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
    let mut shares = [
        world.shards_of("a").await,
        world.shards_of("b").await,
        world.shards_of("c").await,
    ];
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
        // The database's word that the lease has ended comes a moment after it has.
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
    world.always_everywhere(Answer::Slow(seconds(2)));
    let events = world.publish_on_every_shard().await;
    world.pass(seconds(1)).await;
    // Its requests are answered while it is frozen; it learns of the answers when it is too late.
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
async fn invariant_5_what_a_frozen_process_had_on_its_way_to_the_database_is_refused() {
    let world = two_processes().await;
    let events = world.publish_on_every_shard().await;
    // Its routings are on their way: frozen as they leave.
    world.freeze("a");
    world.pass(seconds(30)).await;
    world.assert_all_delivered(&events).await;
    let logs = world.logs().await;
    world.thaw("a");
    world.settle().await;
    assert!(world.traffic_of("a").fenced_off() > 0, "it tried, and was refused");
    assert_eq!(world.logs().await, logs);
    assert!(world.routings().await.iter().all(|(_, count)| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_5_no_shard_is_worked_on_by_two() {
    let mut world = two_processes().await;
    world.always_everywhere(Answer::Slow(seconds(1)));
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
        *recorded.entry((attempt.delivery_id, attempt.made.number)).or_insert(0) += 1;
    }
    assert!(recorded.values().all(|count| *count == 1), "every attempt was committed once");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_hands_its_shards_over_promptly_and_repeats_nothing() {
    let mut world = two_processes().await;
    world.always_everywhere(Answer::Slow(seconds(2)));
    let events = world.publish_on_every_shard().await;
    world.pass(seconds(1)).await;
    let begun = world.now();
    world.leave("a").await;
    let took = world.now().duration_since(begun);
    assert!(took <= jiff::SignedDuration::from_secs(2), "only what is under way: {took}");
    // The other looks at least three times in a lease's time to live.
    world.pass(Settings::default().lease_time_to_live / 3 + Duration::from_millis(5)).await;
    assert_eq!(world.shards_of("b").await, usize::from(SHARDS));
    world.assert_all_delivered(&events).await;
    assert_eq!(world.requests().len(), usize::from(SHARDS));
}

#[tokio::test(start_paused = true)]
async fn invariant_5_a_process_that_cannot_reach_the_database_stops_sending_before_its_lease_ends() {
    let world = two_processes().await;
    world.always_everywhere(Answer::ERROR);
    world.publish_on_every_shard().await;
    world.pass(seconds(58)).await;
    // Retries are due in two seconds, and leases have ended long before the second retries are.
    world.freeze("a");
    world.freeze("b");
    world.pass(minutes(10)).await;
    let requests = world.requests().len();
    assert_eq!(requests, usize::from(SHARDS));
    world.thaw("a");
    world.thaw("b");
    world.pass(minutes(10)).await;
    let deliveries = world.all_deliveries().await;
    assert!(deliveries.iter().all(|delivery| delivery.attempt_count >= 2));
    world.assert_tables_match_the_log().await;
}

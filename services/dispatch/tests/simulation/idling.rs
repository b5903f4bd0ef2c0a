//! Invariant 11: idle costs nothing.

use std::collections::BTreeMap;

use keeptrusts_webhooks_dispatch_service::Settings;

use crate::world::{ReceiverAnswer, World, hours, minutes};

#[tokio::test(start_paused = true)]
async fn invariant_11_an_idle_process_makes_no_queries_to_its_own_database() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.endpoint("pager").await;
    world.network.next("pager", [ReceiverAnswer::ERROR; 3]);
    world.publish_many(5).await;
    world.pass(hours(1)).await;
    let before = world.traffic().calls();
    world.pass(hours(1)).await;
    assert_eq!(world.traffic().calls(), before);
}

#[tokio::test(start_paused = true)]
async fn invariant_11_waiting_for_a_retry_makes_no_queries() {
    let world = World::embedded().await;
    world.endpoint("siem").await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.publish_many(5).await;
    // The fourth attempt was made after 36 minutes, the fifth is due two hours later.
    world.pass(minutes(40)).await;
    let before = world.traffic().calls();
    world.pass(hours(1)).await;
    assert_eq!(world.traffic().calls(), before);
    world.pass(hours(1)).await;
    assert_eq!(world.requests().len(), 5 * 5);
}

#[tokio::test(start_paused = true)]
async fn invariant_11_an_idle_process_queries_a_shared_database_only_about_leases() {
    const SHARDS: usize = 16;
    let mut world = World::shared(SHARDS as u16).await;
    world.join("a").await;
    world.pass(minutes(1)).await;
    assert_eq!(world.shards_of("a").await, SHARDS);
    let before = world.traffic_of("a").calls();
    world.pass(hours(1)).await;
    let after = world.traffic_of("a").calls();
    let calls = |name: &str| {
        let count = |calls: &BTreeMap<_, usize>| calls.get(name).copied().unwrap_or_default();
        count(&after) - count(&before)
    };
    let time_to_live = Settings::default().lease_time_to_live;
    let ticks = 3 * hours(1).as_secs() as usize / time_to_live.as_secs() as usize + 1;
    assert!(calls("heartbeat") <= ticks, "{} heartbeats", calls("heartbeat"));
    assert!(calls("renew_lease") <= ticks * SHARDS, "{} renewals", calls("renew_lease"));
    // The slow poll that makes up for lost announcements.
    let polls = hours(1).as_secs() as usize / 15 * SHARDS;
    assert!(calls("shard_state") <= polls, "{} polls", calls("shard_state"));
    let others = ["heartbeat", "renew_lease", "shard_state"];
    let unexpected: Vec<_> =
        after.keys().filter(|name| !others.contains(name) && calls(name) > 0).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

//! A process that cannot read a shard (its log has records of a newer version, or a row is damaged)
//! gives it to one that can, and reports that it is not ready. A row that only one channel needs stops
//! only that channel.

use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_store::ShardLease;
use tokio::time::Instant;

use crate::world::{EVENT_TYPE, ReceiverAnswer, World, minutes, seconds};

/// The last shard, which is given up first when there are too many.
const SHARD: Shard = Shard(3);

const UNFIT: &str = "not ok: shards (keeptrusts.webhooks.v1.DispatchService): \
                     this process cannot work on shard 3, its log says why; \
                     a newer version may be able to, \
                     or `keeptrusts-webhooks log rebuild` may repair it\n";

/// Processes that share four shards, with an endpoint on each.
async fn processes(names: &[&str]) -> World {
    let mut world = World::shared(4).await;
    for organization in &world.organizations {
        world.endpoint_of(organization, "siem", EVENT_TYPE).await;
    }
    for name in names {
        world.join(name).await;
    }
    world.pass(seconds(30)).await;
    world
}

impl World {
    async fn owner_of(&self, shard: Shard) -> Option<String> {
        let leases = self.leases().await;
        let ShardLease { owner, .. } = leases[usize::from(shard.0)].clone();
        owner.map(|owner| owner.split('-').next().expect("a name").to_owned())
    }

    /// Publishes on the shard; returns whether that is delivered within a minute.
    async fn delivers_on(&self, shard: Shard) -> bool {
        let organization = &self.organizations[usize::from(shard.0)];
        let event = self.try_publish(organization, EVENT_TYPE).await.expect("it is accepted");
        self.pass(minutes(1)).await;
        let deliveries = self.deliveries(event).await;
        deliveries.iter().any(|delivery| delivery.state == DeliveryState::Delivered)
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_a_process_cannot_read_passes_to_one_that_can_and_stays_there() {
    let world = processes(&["a", "b"]).await;
    let owner = world.owner_of(SHARD).await.expect("it has an owner");
    let other = if owner == "a" { "b" } else { "a" };
    assert!(!world.readiness_of(&owner).await.contains("not ok"));
    world.set_unreadable(&owner, SHARD, true);
    assert!(world.delivers_on(SHARD).await);

    assert_eq!(world.owner_of(SHARD).await.as_deref(), Some(other));
    let readiness = world.readiness_of(&owner).await;
    assert!(readiness.contains(UNFIT), "{readiness}");
    assert!(!world.readiness_of(other).await.contains("not ok"));
    // The shares are even all the same, and the shard does not move again.
    let taken = world.acquisition_count();
    world.pass(minutes(10)).await;
    assert_eq!((world.shards_of("a").await, world.shards_of("b").await), (2, 2));
    assert_eq!(world.owner_of(SHARD).await.as_deref(), Some(other));
    assert_eq!(world.acquisition_count(), taken);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_no_process_can_read_stops_no_other_and_is_retried_now_and_then() {
    let world = processes(&["a"]).await;
    world.set_unreadable("a", SHARD, true);
    assert!(!world.delivers_on(SHARD).await);
    assert!(world.delivers_on(Shard(0)).await);
    let readiness = world.readiness_of("a").await;
    assert!(readiness.contains(UNFIT), "{readiness}");
    let taken = world.acquisition_count();
    world.pass(minutes(10)).await;
    let tried = world.acquisition_count() - taken;
    assert!((5..=10).contains(&tried), "once a minute: {tried}");

    // It was repaired.
    world.set_unreadable("a", SHARD, false);
    world.pass(minutes(2)).await;
    assert!(world.delivers_on(SHARD).await);
    assert!(!world.readiness_of("a").await.contains("not ok"));
}

#[tokio::test(start_paused = true)]
async fn a_notification_of_a_newer_version_stops_its_channel_but_does_not_delay_a_shutdown() {
    let mut world = World::without_retries().await;
    world.start().await;
    world.endpoint("siem").await;
    world.channel("hook", &[NotificationType::DeliveryExhausted]).await;
    world.network.always("siem", ReceiverAnswer::ERROR);
    world.settle().await;
    world.database_faults.set_newer_table(Some("notifications"));
    world.publish().await;
    world.pass(minutes(1)).await;
    assert_eq!(world.received_by("hook").len(), 0);

    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < seconds(1), "{:?}", begun.elapsed());

    // A newer version runs.
    world.database_faults.set_newer_table(None);
    world.start().await;
    world.pass(minutes(1)).await;
    assert_eq!(world.received_by("hook").len(), 1);
}

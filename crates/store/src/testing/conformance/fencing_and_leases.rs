//! Leases: who owns a shard, and that nobody else commits.

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Position};
use tokio::task::JoinSet;

use super::Fixture;
use super::given::*;
use crate::log::operation::{ExpectedVersion, Refusal};
use crate::store::{Lease, Store};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);

async fn acquire(store: &dyn Store, owner: &str, time_to_live: Duration) -> Option<Lease> {
    store.acquire_lease(SHARD, owner, time_to_live).await.expect("the lease is asked for")
}

/// The lease of another owner, after `held` was given back or has expired.
async fn take_over(fixture: &Fixture, held: Lease) -> Lease {
    fixture.store().release_lease(held).await.expect("releases");
    acquire(fixture.other_store(), "another", LONG).await.expect("the lease is free")
}

pub(crate) async fn invariant_5_an_earlier_owner_cannot_append(fixture: Fixture) {
    let old = acquire(fixture.store(), "first", LONG).await.expect("the lease is free");
    fixture.append(publish(event_id()).fenced(old.epoch)).await;
    let new = take_over(&fixture, old).await;
    assert!(new.epoch > old.epoch);

    for store in &fixture.stores {
        let batch = [
            publish(event_id()),
            publish(event_id()).fenced(old.epoch),
            publish(event_id()).fenced(new.epoch),
            publish(event_id()).fenced(old.epoch),
        ];
        let appended = store.append(SHARD, &batch).await.expect("appends");
        let lost = Err(Refusal::LeaseLost { expected: old.epoch, actual: new.epoch });
        assert!(appended.results[0].is_ok(), "what has no fence belongs to everybody");
        assert_eq!(appended.results[1], lost);
        assert!(appended.results[2].is_ok());
        assert_eq!(appended.results[3], lost);
    }
}

pub(crate) async fn invariant_5_no_record_of_an_owner_comes_after_its_successors_first(
    fixture: Fixture,
) {
    const OWNERS: usize = 6;
    let mut lease = acquire(fixture.store(), "owner 0", LONG).await.expect("the lease is free");
    let mut workers = JoinSet::new();
    for (owner, store) in fixture.handles().enumerate().take(OWNERS) {
        let epoch = lease.epoch;
        workers.spawn(async move {
            loop {
                let mut operation = publish(event_id()).fenced(epoch);
                operation.metadata.actor = epoch.to_string();
                let appended = store.append(SHARD, &[operation]).await.expect("appends");
                if let Err(refusal) = &appended.results[0] {
                    assert!(matches!(refusal, Refusal::LeaseLost { .. }), "{refusal}");
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let before = fixture.last_position().await;
        let others = &fixture;
        fixture
            .eventually("the owner appends", || async move {
                (others.last_position().await > before).then_some(())
            })
            .await;
        fixture.store().release_lease(lease).await.expect("releases");
        let next = acquire(fixture.other_store(), &format!("owner {}", owner + 1), LONG).await;
        lease = next.expect("the lease is free");
    }
    workers.join_all().await;
    let actors: Vec<i64> =
        fixture.log().await.iter().map(|record| record.metadata.actor.parse().unwrap()).collect();
    assert!(actors.is_sorted(), "{actors:?}");
    assert_eq!(actors.first(), Some(&1));
}

pub(crate) async fn invariant_5_a_future_epoch_is_no_valid_fence(fixture: Fixture) {
    for epoch in [Epoch(1), Epoch(-1), Epoch(i64::MAX)] {
        let results = fixture.results(&[publish(event_id()).fenced(epoch)]).await;
        let lost = Refusal::LeaseLost { expected: epoch, actual: Epoch(0) };
        assert_eq!(results, [Err(lost)]);
    }
}

pub(crate) async fn a_lease_that_is_held_is_not_given_to_another(fixture: Fixture) {
    let lease = acquire(fixture.store(), "first", LONG).await.expect("the lease is free");
    let second = acquire(fixture.other_store(), "second", LONG).await;
    if fixture.store().is_shared() {
        assert_eq!(second, None);
        assert!(fixture.store().renew_lease(lease, LONG).await.expect("renews"));
    } else {
        // There can be no other process: the previous owner is dead.
        assert!(second.is_some_and(|second| second.epoch > lease.epoch));
        assert!(!fixture.store().renew_lease(lease, LONG).await.expect("answers"));
    }
}

pub(crate) async fn one_of_many_processes_acquires_a_lease(fixture: Fixture) {
    if !fixture.store().is_shared() {
        return;
    }
    let mut asking = JoinSet::new();
    for (number, store) in fixture.handles().enumerate().take(16) {
        asking.spawn(async move { acquire(store.as_ref(), &format!("{number}"), LONG).await });
    }
    let leases: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    assert_eq!(leases, [Lease { shard: SHARD, epoch: Epoch(1) }]);
}

pub(crate) async fn an_expired_lease_passes_to_another_and_cannot_be_renewed(fixture: Fixture) {
    if !fixture.store().is_shared() {
        return;
    }
    let old = acquire(fixture.store(), "first", SHORT).await.expect("the lease is free");
    let store = fixture.other_store();
    let new = fixture.eventually("the lease runs out", || acquire(store, "second", LONG)).await;
    assert!(new.epoch > old.epoch);
    assert!(!fixture.store().renew_lease(old, LONG).await.expect("answers"));
    fixture.store().release_lease(old).await.expect("nothing happens");
    assert_eq!(acquire(fixture.store(), "first", LONG).await, None, "the second still has it");
    let results = fixture.results(&[publish(event_id()).fenced(old.epoch)]).await;
    let lost = Refusal::LeaseLost { expected: old.epoch, actual: new.epoch };
    assert_eq!(results, [Err(lost)]);
}

pub(crate) async fn an_expired_lease_that_nobody_took_is_renewed(fixture: Fixture) {
    let lease = acquire(fixture.store(), "first", SHORT).await.expect("the lease is free");
    fixture.advance(2 * SHORT).await;
    fixture.append(publish(event_id()).fenced(lease.epoch)).await;
    assert!(fixture.store().renew_lease(lease, LONG).await.expect("renews"));
    if fixture.store().is_shared() {
        assert_eq!(acquire(fixture.other_store(), "second", LONG).await, None);
    }
}

pub(crate) async fn a_renewed_lease_lasts_by_its_new_time_to_live(fixture: Fixture) {
    if !fixture.store().is_shared() {
        return;
    }
    let lease = acquire(fixture.store(), "first", LONG).await.expect("the lease is free");
    assert!(fixture.store().renew_lease(lease, SHORT).await.expect("renews"));
    let store = fixture.other_store();
    fixture.eventually("the lease runs out", || acquire(store, "second", LONG)).await;
}

pub(crate) async fn a_lease_that_was_given_back_is_free_and_its_epoch_is_not_used_again(
    fixture: Fixture,
) {
    let first = acquire(fixture.store(), "first", LONG).await.expect("the lease is free");
    fixture.store().release_lease(first).await.expect("releases");
    let second = acquire(fixture.store(), "first", LONG).await.expect("the lease is free again");
    assert!(second.epoch > first.epoch);
    let state = fixture.other_store().shard_state(SHARD).await.expect("reads");
    assert_eq!(state.epoch, second.epoch);
}

pub(crate) async fn invariant_2_the_checkpoint_moves_step_by_step_and_nothing_is_acted_on_twice(
    fixture: Fixture,
) {
    let lease = acquire(fixture.store(), "us", LONG).await.expect("the lease is free");
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let route = |from, to| {
        let operation = schedule(event_id(), &[(delivery_id(), endpoint)], &[]);
        operation.fenced(lease.epoch).advancing(from, to)
    };
    let checkpoint = async || fixture.other_store().shard_state(SHARD).await.unwrap().checkpoint;

    let earlier: Vec<_> = (0..8).map(|_| publish(event_id())).collect();
    fixture.append_all(&earlier).await;
    fixture.append(route(0, 3)).await;
    assert_eq!(checkpoint().await, Position(3));
    let batch = [route(0, 3), route(3, 4), route(3, 4), route(5, 6), route(4, 7)];
    let out_of_order = |expected, actual| {
        Err(Refusal::OutOfOrder { expected: Position(expected), actual: Position(actual) })
    };
    let results = fixture.results(&batch).await;
    assert_eq!(results[0], out_of_order(0, 3), "before a crash it was done");
    assert!(results[1].is_ok());
    assert_eq!(results[2], out_of_order(3, 4), "twice in one batch");
    assert_eq!(results[3], out_of_order(5, 4), "nothing is skipped");
    assert!(results[4].is_ok());
    assert_eq!(checkpoint().await, Position(7));

    fixture.append(publish(event_id())).await;
    let refused = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent").advancing(7, 8);
    assert!(fixture.results(&[refused]).await[0].is_err());
    assert_eq!(checkpoint().await, Position(7), "a refused operation does not move it");
    take_over(&fixture, lease).await;
    assert_eq!(checkpoint().await, Position(7), "the next owner goes on where the last one was");
}

pub(crate) async fn a_heartbeat_returns_who_is_alive_and_who_holds_which_shard(fixture: Fixture) {
    let store = fixture.store();
    acquire(store, "b", LONG).await.expect("the lease is free");
    let cluster = store.heartbeat("b", LONG).await.expect("reports");
    assert_eq!(cluster.members, ["b"]);
    let owners: Vec<_> = cluster.shards.iter().map(|lease| lease.owner.as_deref()).collect();
    let mut expected = vec![None; usize::from(store.shard_count())];
    expected[usize::from(SHARD.0)] = Some("b");
    assert_eq!(owners, expected);
    let shards: Vec<_> = cluster.shards.iter().map(|lease| lease.shard.0).collect();
    assert!(shards.into_iter().eq(0..store.shard_count()));
    for shard in &cluster.shards {
        let expected = match (&shard.owner, store.is_shared()) {
            (None, _) => Duration::ZERO..=Duration::ZERO,
            (Some(_), true) => LONG / 2..=LONG,
            (Some(_), false) => Duration::MAX..=Duration::MAX,
        };
        assert!(expected.contains(&shard.expires_in), "{shard:?}");
    }

    if store.is_shared() {
        let cluster = fixture.other_store().heartbeat("a", LONG).await.expect("reports");
        assert_eq!(cluster.members, ["a", "b"]);
        fixture.other_store().leave("b").await.expect("leaves");
        assert_eq!(store.heartbeat("a", LONG).await.expect("reports").members, ["a"]);
    }
}

pub(crate) async fn a_member_without_heartbeats_is_left_out_and_its_lease_expires(
    fixture: Fixture,
) {
    if !fixture.store().is_shared() {
        return;
    }
    let store = fixture.other_store();
    let lease = acquire(fixture.store(), "b", SHORT).await.expect("the lease is free");
    fixture.store().heartbeat("b", SHORT).await.expect("reports");
    let look = || async {
        let cluster = store.heartbeat("a", LONG).await.expect("reports");
        let held = cluster.shards[usize::from(SHARD.0)].clone();
        (cluster.members == ["a"] && held.expires_in == Duration::ZERO).then_some(held.owner)
    };
    let owner = fixture.eventually("b's time runs out", look).await;
    assert_eq!(owner.as_deref(), Some("b"), "it has not given it back");

    store.release_lease(lease).await.expect("releases");
    let cluster = store.heartbeat("a", LONG).await.expect("reports");
    assert_eq!(cluster.shards[usize::from(SHARD.0)].owner, None);
}

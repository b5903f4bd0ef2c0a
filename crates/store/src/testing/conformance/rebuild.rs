//! The tables are a fold of the log: rebuilding them changes nothing, and checking them finds every
//! other change.

use std::sync::Mutex;
use std::time::Duration;

use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_testkit::random::{Random, seed};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::answers::Answers;
use super::fixture::read_all;
use super::given::*;
use super::history::History;
use super::{Damage, Fixture};
use crate::error::StoreError;
use crate::limits::REBUILD_STEP;
use crate::log::operation::ExpectedVersion;
use crate::store::RebuildDifference;

/// More differences than there are.
const MANY: usize = 10_000;
/// Enough records for several steps of a rebuild.
const LONG_HISTORY: usize = 2 * REBUILD_STEP + REBUILD_STEP / 2;

async fn check(fixture: &Fixture) -> Vec<RebuildDifference> {
    fixture.store().check(SHARD, MANY, &|_| ()).await.expect("checks")
}

async fn rebuild(fixture: &Fixture) {
    fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
}

pub(crate) async fn invariant_7_a_long_random_history_is_rebuilt_as_it_was(fixture: Fixture) {
    let mut history = History::begin(&fixture, Random::of_new_seed()).await;
    while (fixture.last_position().await.0 as usize) < LONG_HISTORY {
        history.go_on(&fixture, 20).await;
    }
    let in_memory = Answers::of(&*history.reference).await;
    let before = Answers::of(fixture.store()).await;
    before.assert_same_as(&in_memory);
    assert_eq!(check(&fixture).await, []);

    rebuild(&fixture).await;
    Answers::of(fixture.other_store()).await.assert_same_as(&before);
    assert_eq!(check(&fixture).await, []);

    history.go_on(&fixture, 20).await;
    let in_memory = Answers::of(&*history.reference).await;
    Answers::of(fixture.store()).await.assert_same_as(&in_memory);
    assert_eq!(check(&fixture).await, []);
}

pub(crate) async fn a_random_history_gives_the_same_answers_as_in_memory(fixture: Fixture) {
    let mut history = History::begin(&fixture, Random::of_seed(seed(2))).await;
    for _ in 0..10 {
        history.go_on(&fixture, 10).await;
        let in_memory = Answers::of(&*history.reference).await;
        for store in &fixture.stores {
            Answers::of(store.as_ref()).await.assert_same_as(&in_memory);
        }
    }
}

pub(crate) async fn invariant_7_a_check_finds_differences_from_the_log_and_changes_nothing(
    fixture: Fixture,
) {
    let mut history = History::begin(&fixture, Random::of_seed(7)).await;
    history.go_on(&fixture, 60).await;
    let sound = Answers::of(fixture.store()).await;
    for damage in Damage::DETECTED {
        if !fixture.damage(damage).await {
            return;
        }
        let damaged = Answers::of(fixture.store()).await;
        let found = check(&fixture).await;
        assert!(!found.is_empty(), "{damage:?}");
        for difference in &found {
            assert_eq!(difference.table, damage.table());
            let sides = (difference.stored.is_some(), difference.rebuilt.is_some());
            let expected = match damage {
                Damage::DeliveriesLost => (false, true),
                Damage::MissedEventInvented => (true, false),
                _ => (true, true),
            };
            assert_eq!(sides, expected, "{damage:?}: {difference:?}");
            assert_ne!(difference.stored, difference.rebuilt);
        }
        let one = fixture.store().check(SHARD, 1, &|_| ()).await.expect("checks");
        assert_eq!(one.len(), 1, "no more than asked for");
        assert_eq!(check(&fixture).await.len(), found.len());
        Answers::of(fixture.store()).await.assert_same_as(&damaged);

        rebuild(&fixture).await;
        assert_eq!(check(&fixture).await, []);
        Answers::of(fixture.store()).await.assert_same_as(&sound);
    }
}

pub(crate) async fn invariant_7_another_form_of_a_document_is_no_difference(fixture: Fixture) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    if !fixture.damage(Damage::EndpointsReformatted).await {
        return;
    }
    assert_eq!(check(&fixture).await, []);
    // It is read with that text, and written with the usual one.
    fixture.append(rename_endpoint(endpoint, ExpectedVersion::Any, "renamed")).await;
    assert_eq!(check(&fixture).await, []);
    assert!(fixture.damage(Damage::EndpointsReformatted).await);
    assert!(fixture.damage(Damage::EndpointsRedescribed).await);
    let found = check(&fixture).await;
    assert_eq!(found.len(), 1);
    let stored = found[0].stored.as_deref().expect("a row");
    assert!(stored.ends_with("document.config.description=\"damaged\""), "{stored}");
}

pub(crate) async fn invariant_7_a_rebuild_replaces_documents_that_cannot_be_read(fixture: Fixture) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let store = fixture.store();
    let sound = store.endpoint(SHARD, &organization(), endpoint).await.expect("reads");
    if !fixture.damage(Damage::EndpointsCutOff).await {
        return;
    }
    let reason = format!("the document of endpoints {endpoint}: ");
    let error = store.endpoint(SHARD, &organization(), endpoint).await.expect_err("is cut off");
    assert!(error.to_string().contains(&reason), "{error}");
    let found = check(&fixture).await;
    let [RebuildDifference { table: "endpoints", stored, rebuilt }] = &found[..] else {
        panic!("one row differs: {found:?}");
    };
    let (stored, rebuilt) = (stored.as_deref(), rebuilt.as_deref());
    assert!(stored.expect("a row").contains(&format!("cannot be read: {reason}")), "{stored:?}");
    assert!(rebuilt.expect("a row").contains("document={"), "{rebuilt:?}");

    rebuild(&fixture).await;
    assert_eq!(check(&fixture).await, []);
    let endpoint = store.endpoint(SHARD, &organization(), endpoint).await;
    assert_eq!(endpoint.expect("reads again"), sound);
}

pub(crate) async fn a_document_of_a_newer_version_is_neither_read_nor_rebuilt(fixture: Fixture) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    if !fixture.damage(Damage::EndpointsOfANewerVersion).await {
        return;
    }
    let is_newer = |error: StoreError| {
        assert!(matches!(error, StoreError::Newer { table: "endpoints", .. }), "{error:?}");
    };
    let store = fixture.store();
    is_newer(store.endpoint(SHARD, &organization(), endpoint).await.expect_err("is newer"));
    let rename = rename_endpoint(endpoint, ExpectedVersion::Any, "renamed");
    is_newer(store.append(SHARD, &[rename]).await.expect_err("is newer"));
    is_newer(store.rebuild(SHARD, &|_| ()).await.expect_err("is newer"));
    is_newer(store.check(SHARD, MANY, &|_| ()).await.expect_err("is newer"));
    assert_eq!(fixture.last_position().await, Position(1), "nothing was appended");
    // Calls that do not need it succeed.
    fixture.append(publish(event_id())).await;
}

pub(crate) async fn an_empty_shard_is_checked_and_rebuilt(fixture: Fixture) {
    assert_eq!(check(&fixture).await, []);
    rebuild(&fixture).await;
    assert_eq!(fixture.append(publish(event_id())).await[0].position, Position(1));
}

pub(crate) async fn progress_grows_to_the_last_position(fixture: Fixture) {
    let endpoint = endpoint_id();
    let mut batch = vec![create_endpoint(endpoint)];
    batch.extend((0..2_499).map(|_| rename_endpoint(endpoint, ExpectedVersion::Any, "again")));
    fixture.append_all(&batch).await;
    let told = Mutex::new(Vec::new());
    let progress = |position| told.lock().expect("not poisoned").push(position);
    fixture.store().check(SHARD, MANY, &progress).await.expect("checks");
    fixture.store().rebuild(SHARD, &progress).await.expect("rebuilds");

    let told = told.into_inner().expect("not poisoned");
    let end =
        told.iter().position(|position| *position == Position(2_500)).expect("the check ends");
    let (of_check, of_rebuild) = told.split_at(end + 1);
    assert!(of_check.is_sorted(), "{of_check:?}");
    assert!(of_rebuild.is_sorted(), "{of_rebuild:?}");
    assert_eq!(of_rebuild.last(), Some(&Position(2_500)));
}

pub(crate) async fn an_interrupted_rebuild_or_check_changes_nothing(fixture: Fixture) {
    let mut history = History::begin(&fixture, Random::of_seed(4)).await;
    while (fixture.last_position().await.0 as usize) < REBUILD_STEP + 1 {
        history.go_on(&fixture, 20).await;
    }
    let before = Answers::of(fixture.store()).await;
    let in_the_middle = Notify::new();
    let progress = |_| in_the_middle.notify_one();
    for checks in [false, true] {
        let work = async {
            match checks {
                true => fixture.store().check(SHARD, MANY, &progress).await.map(|_| ()),
                false => fixture.store().rebuild(SHARD, &progress).await,
            }
        };
        tokio::select! {
            biased;
            () = in_the_middle.notified() => {}
            done = work => done.expect("ends before it is interrupted"),
        }
        Answers::of(fixture.other_store()).await.assert_same_as(&before);
        assert_eq!(check(&fixture).await, []);
    }
    rebuild(&fixture).await;
    assert_eq!(check(&fixture).await, []);
}

pub(crate) async fn nothing_that_is_appended_during_a_rebuild_is_lost(fixture: Fixture) {
    const WRITERS: usize = 4;
    const APPENDS: usize = 30;
    let mut history = History::begin(&fixture, Random::of_seed(3)).await;
    history.go_on(&fixture, 40).await;
    let before = fixture.last_position().await;
    let mut writers = JoinSet::new();
    for store in fixture.handles().take(WRITERS) {
        writers.spawn(async move {
            for _ in 0..APPENDS {
                let endpoint = endpoint_id();
                let batch = [
                    create_endpoint(endpoint),
                    change_endpoint(endpoint, version(1), EndpointFact::Enabled),
                ];
                let appended = store.append(SHARD, &batch).await.expect("appends");
                assert_eq!(appended.records.len(), 2);
            }
        });
    }
    for _ in 0..3 {
        rebuild(&fixture).await;
        assert_eq!(check(&fixture).await, [], "while others append");
    }
    writers.join_all().await;
    let appended = fixture.last_position().await.0 - before.0;
    assert_eq!(appended as usize, WRITERS * APPENDS * 2);
    assert_eq!(check(&fixture).await, []);
}

pub(crate) async fn a_rebuild_leaves_the_log_the_lease_and_the_checkpoint_alone(fixture: Fixture) {
    let lease = fixture.store().acquire_lease(SHARD, "us", Duration::from_secs(3_600)).await;
    let lease = lease.expect("asks").expect("the lease is free");
    fixture.append(publish(event_id()).fenced(lease.epoch).advancing(0, 1)).await;
    let (log, state) = (fixture.log().await, fixture.store().shard_state(SHARD).await.unwrap());
    rebuild(&fixture).await;
    assert_eq!(fixture.log().await, log);
    assert_eq!(fixture.store().shard_state(SHARD).await.unwrap(), state);
    fixture.append(publish(event_id()).fenced(lease.epoch).advancing(1, 2)).await;
    let cluster =
        fixture.store().heartbeat("us", Duration::from_secs(3_600)).await.expect("reports");
    assert_eq!(cluster.shards[usize::from(SHARD.0)].owner.as_deref(), Some("us"));
}

pub(crate) async fn a_rebuild_changes_its_shard_only(fixture: Fixture) {
    let store = fixture.store();
    let Some(other) = (store.shard_count() > 1).then_some(Shard(1)) else { return };
    let (here, elsewhere) = (endpoint_id(), endpoint_id());
    fixture.append(create_endpoint(here)).await;
    store.append(other, &[create_endpoint(elsewhere)]).await.expect("appends");
    let log = read_all(store, other).await;
    if !fixture.damage(Damage::EndpointsRenamed).await {
        return;
    }
    store.rebuild(other, &|_| ()).await.expect("rebuilds");
    assert_eq!(read_all(store, other).await, log);
    assert_eq!(store.check(other, MANY, &|_| ()).await.expect("checks"), []);
    assert_eq!(check(&fixture).await.len(), 1, "this one is still damaged");
}

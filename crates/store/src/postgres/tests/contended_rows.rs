//! Rows that somebody else has locked: a process that stopped in the middle of a transaction, or a
//! person with a prompt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::task::JoinSet;

use super::{connect, database, open};
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::postgres::session::Session;
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::store::{AppendedBatch, Store};
use crate::testing::conformance::given::{event_id, publish};

const TIME_TO_LIVE: Duration = Duration::from_secs(10);

fn shards() -> impl Iterator<Item = Shard> {
    (0..16).map(Shard)
}

/// Holds the rows of the first shards until it is dropped.
async fn hold(connection: &mut PgConnection, count: u16) -> Transaction<'_, Postgres> {
    let mut holding = connection.begin().await.expect("begins");
    let hold = "SELECT FROM shards WHERE shard < $1 FOR UPDATE";
    let query = sqlx::query(hold).bind(i32::from(count));
    query.execute(&mut *holding).await.expect("holds");
    holding
}

async fn append(store: &PostgresStore, shard: Shard) -> Result<AppendedBatch, StoreError> {
    store.append(shard, &[publish(event_id())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_costs_no_other_shard_its_lease() {
    let url = database().await;
    let store = open(&url).await;
    let taken = join_all(shards().map(|shard| store.acquire_lease(shard, "us", TIME_TO_LIVE)));
    let leases: Vec<_> = taken.await.into_iter().map(|lease| lease.expect("asks")).collect();
    let mut holder = connect(&url).await;
    // One more than there are connections for leases.
    let held = u16::try_from(store.leases.size()).expect("a few") + 1;
    let holding = hold(&mut holder, held).await;

    let asked = Instant::now();
    let renewals = leases.iter().flatten().map(|lease| store.renew_lease(*lease, TIME_TO_LIVE));
    let renewed: Vec<_> =
        join_all(renewals).await.into_iter().map(|renewed| renewed.ok()).collect();
    let expected = shards().map(|shard| (shard.0 >= held).then_some(true));
    assert_eq!(renewed, expected.collect::<Vec<_>>());
    assert!(asked.elapsed() < TIME_TO_LIVE / 3, "{:?}", asked.elapsed());

    // A heartbeat does not wait either, nor does the release of another shard.
    let cluster = store.heartbeat("us", TIME_TO_LIVE).await.expect("reports");
    assert_eq!(cluster.shards.iter().filter(|lease| !lease.is_free()).count(), 16);
    let last = leases.iter().flatten().last().expect("sixteen");
    store.release_lease(*last).await.expect("gives back");
    let taken = store.acquire_lease(last.shard, "them", TIME_TO_LIVE).await.expect("asks");
    assert!(taken.is_some());
    holding.rollback().await.expect("lets go");
    for lease in leases.iter().flatten().take(usize::from(held)) {
        assert!(store.renew_lease(*lease, TIME_TO_LIVE).await.expect("asks"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_row_is_locked_still_sees_the_owners_of_the_shards() {
    let url = database().await;
    let store = open(&url).await;
    store.heartbeat("them", TIME_TO_LIVE).await.expect("reports");
    store.heartbeat("us", TIME_TO_LIVE).await.expect("reports");
    let mut holder = connect(&url).await;
    let mut holding = holder.begin().await.expect("begins");
    let hold = "SELECT FROM dispatch_members FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut *holding).await.expect("holds");
    let cluster = store.heartbeat("us", TIME_TO_LIVE).await.expect("reports");
    assert_eq!(cluster.members, ["them", "us"]);
    assert_eq!(cluster.shards.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_rows_delay_no_other_shards_appends() {
    let url = database().await;
    let store = Arc::new(open(&url).await);
    let writers = u16::try_from(store.writers.size()).expect("a few");
    let mut holder = connect(&url).await;
    let holding = hold(&mut holder, writers).await;
    let locked_out = |appended: &Result<_, _>| matches!(appended, Err(StoreError::Unavailable(_)));
    // The first append waits for the whole lock timeout.
    let first = join_all((0..writers).map(|shard| append(&store, Shard(shard)))).await;
    assert!(first.iter().all(locked_out), "{first:?}");

    // From then on retries wait only briefly and delay nobody.
    let mut retries = JoinSet::new();
    for shard in (0..writers).map(Shard) {
        let store = Arc::clone(&store);
        retries.spawn(async move { while append(&store, shard).await.is_err() {} });
    }
    for shard in (writers..16).map(Shard) {
        let asked = Instant::now();
        append(&store, shard).await.expect("appends");
        assert!(
            asked.elapsed() < store.writers.limits().lock / 2,
            "{shard} after {:?}",
            asked.elapsed()
        );
    }
    holding.rollback().await.expect("lets go");
    retries.join_all().await;
    for shard in shards() {
        let state = store.shard_state(shard).await.expect("reads");
        assert_eq!(state.last_position, Position(1), "{shard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_in_a_transaction_delays_others_for_its_timeout_at_most() {
    let url = database().await;
    let other = open(&url).await;
    let statement_timeout = Duration::from_secs(1);
    let options = PostgresOptions { statement_timeout, ..PostgresOptions::default() };
    let stopped = PostgresStore::open(&url, options).await.expect("the database is opened");
    let mut session = Session::acquire(&stopped.writers).await.expect("a session");
    let mut transaction = session.begin().await.expect("begins");
    let lock = "SELECT FROM shards FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *transaction).await.expect("locks");

    // It would fail after its lock timeout, which is longer than the time for which the server lets
    // the other session stop.
    append(&other, Shard(0)).await.expect("appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_is_reported_as_such_and_a_try_waits_for_it_only_briefly() {
    let url = database().await;
    let store = open(&url).await;
    let mut holder = connect(&url).await;
    let holding = hold(&mut holder, 1).await;
    let error = append(&store, Shard(0)).await.expect_err("it is held");
    assert_eq!(error.problem(), Some(DatabaseProblem::Locked), "{error:?}");
    let asked = Instant::now();
    let error = store.try_commit(Shard(0)).await.expect_err("it is held");
    assert_eq!(error.problem(), Some(DatabaseProblem::Locked), "{error:?}");
    assert!(asked.elapsed() < store.writers.limits().lock, "{:?}", asked.elapsed());
    store.try_commit(Shard(1)).await.expect("another one is not");
    let lease = store.acquire_lease(Shard(0), "us", TIME_TO_LIVE).await;
    assert_eq!(lease.expect_err("it is held").problem(), Some(DatabaseProblem::Locked));
    assert_eq!(store.other_writes().failure(), None, "one row is not the database");
    holding.rollback().await.expect("lets go");
    store.try_commit(Shard(0)).await.expect("commits");
}

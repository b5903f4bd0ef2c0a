//! Sessions, commits and servers that end in the middle of their work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use sqlx::{AssertSqlSafe, Connection};

use super::proxy::{self, Fault};
use super::{connect, database, eventually, open, waiting_session};
use crate::error::StoreError;
use crate::log::operation::{BodyId, Operation};
use crate::postgres::PostgresStore;
use crate::store::Store;
use crate::testing::conformance::given::{
    SHARD, create_endpoint, delivery_id, endpoint_id, event_id, fail_with_pause, organization,
    publish, schedule, succeed, time,
};

/// Asserts that the log has the positions from 1 on without a gap.
async fn assert_gapless(store: &PostgresStore, count: i64) {
    let records = store.read(SHARD, Position::START, 100_000).await.expect("reads");
    let positions: Vec<_> = records.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, (1..=count).collect::<Vec<_>>());
    let state = store.shard_state(SHARD).await.expect("reads");
    assert_eq!(state.last_position, Position(count));
}

/// A batch that writes to every table. Appends the delivery that it concludes.
async fn batch_for_every_table(store: &PostgresStore) -> Vec<Operation> {
    let (endpoint, event) = (endpoint_id(), event_id());
    let deliveries = [delivery_id(), delivery_id()];
    let scheduled = deliveries.map(|delivery| (delivery, endpoint));
    let before = [create_endpoint(endpoint), publish(event), schedule(event, &scheduled, &[])];
    store.append(SHARD, &before).await.expect("appends");
    let reader: &dyn Store = store;
    let found = reader.deliveries(SHARD, &organization(), &deliveries).await.expect("reads");
    let [first, second]: &[Delivery; 2] = found[..].try_into().expect("they are scheduled");
    let now = time("2026-04-23T10:30:00Z");
    let published = event_id();
    let body = (BodyId::Event(published), "content", time("2126-04-23T10:30:00Z"));
    vec![
        create_endpoint(endpoint_id()),
        publish(published).with_body(body.0, body.1, body.2),
        schedule(published, &[(delivery_id(), endpoint)], &[endpoint]),
        succeed(first, now),
        fail_with_pause(second, now, Duration::from_secs(20)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_killed_at_any_table_leaves_nothing_of_its_batch() {
    let url = database().await;
    let store = Arc::new(open(&url).await);
    let batch = batch_for_every_table(&store).await;
    let mut count = 3;
    let tables = [
        "records",
        "bodies",
        "endpoints",
        "events",
        "deliveries",
        "attempts",
        "missed_events",
        "attempt_counts",
        "failing_endpoints",
        "endpoint_pauses",
    ];
    // After an append, the shard is known, and the batch is one statement; after a failure, it is a
    // transaction.
    for (table, is_known) in tables.iter().flat_map(|table| [(table, false), (table, true)]) {
        if is_known {
            store.append(SHARD, &[publish(event_id())]).await.expect("appends");
            count += 1;
        } else {
            store.forget_shards().await;
        }
        let mut blocker = connect(&url).await;
        let mut blocking = blocker.begin().await.expect("begins");
        // Blocks writes, but not reads.
        let lock = AssertSqlSafe(format!("LOCK TABLE {table} IN EXCLUSIVE MODE"));
        sqlx::raw_sql(lock).execute(&mut *blocking).await.expect("locks");

        let append = tokio::spawn({
            let (store, batch) = (Arc::clone(&store), batch.clone());
            async move { store.append(SHARD, &batch).await }
        });
        let mut killer = connect(&url).await;
        let session = waiting_session(&mut killer).await;
        let kill = sqlx::query("SELECT pg_terminate_backend($1)").bind(session);
        kill.execute(&mut killer).await.expect("kills");

        let error = append.await.expect("no panic").expect_err("its session was killed");
        match is_known {
            false => assert!(matches!(error, StoreError::Unavailable(_)), "{table}: {error:?}"),
            true => assert!(matches!(error, StoreError::Unknown(_)), "{table}: {error:?}"),
        }
        blocking.rollback().await.expect("unlocks");
        assert_gapless(&store, count).await;
        assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), [], "{table}");
    }
    let appended = store.append(SHARD, &batch).await.expect("appends");
    assert_eq!(appended.records.len(), batch.len());
    assert_gapless(&store, count + 5).await;
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_dropped_midway_holds_no_lock_and_leaves_no_gap() {
    let url = database().await;
    let store = open(&url).await;
    let operations: Vec<_> = (0..300).map(|_| publish(event_id())).collect();
    // Connections are made and statements prepared first, so that drops hit every step of an append
    // and not only the first ones.
    let started = Instant::now();
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    let warm = Instant::now();
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    let usual = warm.elapsed().min(warm - started).max(Duration::from_millis(1));
    for (round, operation) in (0..).zip(&operations) {
        // A single statement goes on when it is dropped, a transaction does not.
        if round % 2 == 0 {
            store.forget_shards().await;
        }
        let append = store.append(SHARD, std::slice::from_ref(operation));
        // A dropped append costs its connection. Every third one succeeds, so that the next ones find
        // a connection with prepared statements.
        if round % 3 == 0 {
            append.await.expect("appends");
            continue;
        }
        let patience = usual * (round % 29) / 15;
        if let Ok(outcome) = tokio::time::timeout(patience, append).await {
            outcome.expect("appends");
        }
    }

    let after = Instant::now();
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    // This append would wait for the whole lock timeout if a lock were left behind.
    assert!(after.elapsed() < store.writers.limits().lock, "nobody holds the shard");
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    let found = store.find_operations(SHARD, Position::START, &ids).await.expect("finds");
    let let_through = operations.len().div_ceil(3);
    assert!((let_through..operations.len()).contains(&found.len()), "{} are there", found.len());
    assert_gapless(&store, found.len() as i64 + 3).await;
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);

    let mut connection = connect(&url).await;
    eventually("no session is left in a transaction", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("answers");
        (count == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_can_be_looked_up() {
    let url = database().await;
    let server_port = Cluster::shared().await.port();
    let fault = Arc::new(Fault::default());
    let proxy_port = proxy::start(server_port, Arc::clone(&fault)).await;
    let proxied = url.replace(&format!(":{server_port}/"), &format!(":{proxy_port}/"));
    // The proxy must be able to read the messages.
    let store = open(&format!("{proxied}?sslmode=disable")).await;

    let losses = [(&fault.lose_answer, 1), (&fault.lose_commit, 0)];
    for ((lost, appended), is_one_statement) in
        losses.iter().flat_map(|loss| [(*loss, false), (*loss, true)])
    {
        if is_one_statement {
            // Then the shard is known, and the statement prepared.
            for _ in 0..2 {
                store.append(SHARD, &[publish(event_id())]).await.expect("appends");
            }
        } else {
            store.forget_shards().await;
        }
        fault.is_one_statement.store(is_one_statement, Ordering::SeqCst);
        let before = store.shard_state(SHARD).await.expect("reads").last_position;
        let operation = publish(event_id());
        lost.store(true, Ordering::SeqCst);
        let outcome = store.append(SHARD, std::slice::from_ref(&operation)).await;
        lost.store(false, Ordering::SeqCst);

        let error = outcome.expect_err("the connection was cut");
        assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
        let found = store.find_operations(SHARD, before, &[operation.id]).await.expect("finds");
        assert_eq!(found.len(), appended);
        assert_gapless(&store, before.0 + appended as i64).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_survives_a_restart_of_its_server() {
    let cluster = Cluster::builder().fsync(false).create().await;
    let url = cluster.create_database("restarted").await;
    let (store, other) = (open(&url).await, open(&url).await);
    let mut hints = other.take_hints().expect("another process");
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");

    for crashed in [false, true] {
        match crashed {
            false => cluster.stop().await,
            true => cluster.kill().await,
        }
        let append = store.append(SHARD, &[publish(event_id())]).await;
        let error = append.expect_err("the server is down");
        // A statement that commits itself may have been sent on a connection that was lost.
        assert!(matches!(error, StoreError::Unavailable(_) | StoreError::Unknown(_)), "{error:?}");
        let read = store.shard_state(SHARD).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        cluster.start().await;
        store.append(SHARD, &[publish(event_id())]).await.expect("appends again");
    }
    assert_gapless(&store, 3).await;

    let announced = Position(3);
    eventually("hints are heard again", async || {
        store.announce(SHARD, announced);
        hints.try_recv().ok().filter(|hint| *hint == (SHARD, announced))
    })
    .await;
    store.close().await;
    other.close().await;
}

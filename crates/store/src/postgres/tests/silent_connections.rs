//! Connections that are cut silently: without an error on either side.

use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::relay::Relay;

use super::{database, eventually, open};
use crate::error::StoreError;
use crate::postgres::long_statements::{
    SettingScope, backend_pid, remove_time_limits, while_server_answers,
};
use crate::postgres::session::Session;
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::given::{SHARD, event_id, publish};

const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);

/// Far more than a busy machine needs. Without time limits of its own, a call on a connection that was
/// cut waits for ever: the relay closes none.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Repeats a call until it succeeds. How long that takes depends on the machine, so only the kind of
/// each failure is checked.
async fn until_success<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let start = Instant::now();
    loop {
        match tokio::time::timeout(TIME_LIMIT, call()).await.expect("a call has a time limit") {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                assert!(start.elapsed() < TIME_LIMIT, "the connection is not replaced: {error:?}");
            }
        }
    }
}

/// A store whose connections all go through the relay.
async fn open_through_relay(url: &str) -> (PostgresStore, Relay) {
    let server_port = Cluster::shared().await.port();
    let relay = Relay::start(server_port).await;
    let relayed = url.replace(&format!(":{server_port}/"), &format!(":{}/", relay.port()));
    let options =
        PostgresOptions { statement_timeout: STATEMENT_TIMEOUT, ..PostgresOptions::default() };
    let store = PostgresStore::open(&relayed, options).await.expect("the database is opened");
    (store, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_silently_are_replaced() {
    let url = database().await;
    let (store, relay) = open_through_relay(&url).await;
    let other = open(&url).await;
    let mut hints = store.take_hints().expect("another process");
    let lease = store.acquire_lease(SHARD, "us", TIME_LIMIT).await.expect("asks");
    let lease = lease.expect("it is free");
    eventually("hints are received", async || {
        other.announce(SHARD, Position(1));
        hints.try_recv().ok()
    })
    .await;

    for idles in [false, true] {
        // Idle connections are tested before they are used. The others are not, as they were used
        // just before.
        if idles {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        } else {
            store.append(SHARD, &[publish(event_id())]).await.expect("appends");
            store.shard_state(SHARD).await.expect("reads");
            assert!(store.renew_lease(lease, TIME_LIMIT).await.expect("asks"));
        }
        relay.stop_forwarding();
        let (_, _, is_renewed) = tokio::join!(
            until_success(async || store.append(SHARD, &[publish(event_id())]).await),
            until_success(async || store.shard_state(SHARD).await),
            until_success(async || store.renew_lease(lease, TIME_LIMIT).await),
        );
        assert!(is_renewed, "the lease outlasts the cut");
    }
    while hints.try_recv().is_ok() {}
    // Above every position in the database.
    let mut announced = 1_000;
    eventually("hints are received again", async || {
        announced += 1;
        other.announce(SHARD, Position(announced));
        hints.try_recv().ok().filter(|(_, position)| position.0 > 1_000)
    })
    .await;

    // A process that listens again looks up what was announced meanwhile.
    relay.stop_forwarding();
    let elsewhere = Shard(5);
    other.append(elsewhere, &[publish(event_id())]).await.expect("appends");
    other.announce(elsewhere, Position(1));
    eventually("the missed announcement is received", async || {
        hints.try_recv().ok().filter(|hint| *hint == (elsewhere, Position(1)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_statement_has_no_time_limit_until_its_answer_is_lost() {
    let url = database().await;
    let (store, relay) = open_through_relay(&url).await;
    let mut session = Session::acquire(&store.writers).await.expect("a session");
    remove_time_limits(&mut session, SettingScope::Session).await.expect("set");
    let backend = backend_pid(&mut session).await.expect("answers");
    let mut connection = super::connect(&url).await;

    let long = sqlx::query("SELECT pg_sleep(4)").execute(&mut *session);
    let long = async { long.await.map_err(|error| StoreError::Failed(error.into())) };
    let answered = while_server_answers(&store.readers, backend, long).await;
    answered.expect("it took longer than an answer may take, and was at work");

    let lost = async {
        let asked = sqlx::query("SELECT pg_sleep(1)").execute(&mut *session).await;
        asked.map_err(|error| StoreError::Failed(error.into()))
    };
    let cut = async {
        let active = "SELECT state FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
        while sqlx::query(active)
            .bind(backend)
            .fetch_optional(&mut connection)
            .await
            .expect("asks")
            .is_none()
        {}
        relay.stop_forwarding();
    };
    let asked = Instant::now();
    let (error, ()) = tokio::join!(while_server_answers(&store.readers, backend, lost), cut);
    let error = error.expect_err("the answer is lost");
    assert_eq!(error.problem(), Some(crate::DatabaseProblem::Silent), "{error:?}");
    assert!(asked.elapsed() < TIME_LIMIT, "{:?}", asked.elapsed());
}

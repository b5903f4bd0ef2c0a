//! Several hosts, the limit of connections, and errors of connecting.

use std::error::Error;
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use sqlx::Connection;
use tokio::task::JoinSet;

use super::{connect, database, eventually, open};
use crate::database_problem::DatabaseProblem;
use crate::error_chain::ErrorChain;
use crate::postgres::pool::ACQUIRE_LIMIT;
use crate::postgres::session::fetch;
use crate::postgres::{MIN_CONNECTIONS, OpenError, PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::given::{SHARD, event_id, publish};

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_can_be_written_to_is_used() {
    let (one, other) = (Cluster::shared().await, Cluster::builder().fsync(false).create().await);
    let name = "fails_over";
    for cluster in [one, &other] {
        let url = cluster.create_database(name).await;
        open(&url).await.close().await;
    }
    let read_only =
        |on: &str| format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
    one.query("postgres", &read_only("on")).await;
    let refused = closed_port();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    let url = format!("postgres://postgres@127.0.0.1:{},{hosts}/{name}", refused.port());
    let store = open(&url).await;
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    assert_eq!(store.shard_state(SHARD).await.expect("reads").last_position, Position(1));

    // The other one becomes read-only like a standby, with its open sessions.
    one.query("postgres", &read_only("off")).await;
    let demote = "ALTER SYSTEM SET default_transaction_read_only = on";
    other.query("postgres", demote).await;
    other.query("postgres", "SELECT pg_reload_conf()").await;
    eventually("appends go to the first host", async || {
        _ = store.append(SHARD, &[publish(event_id())]).await;
        one.query(name, "SELECT count(*) > 0 FROM records").await.trim().eq("t").then_some(())
    })
    .await;
    let records = |count: String| count.trim().parse::<i64>().expect("a number");
    let on_first = records(one.query(name, "SELECT count(*) FROM records").await);
    let state = store.shard_state(SHARD).await.expect("reads");
    assert_eq!(state.last_position, Position(on_first), "readers have followed");
    store.close().await;

    one.query("postgres", &read_only("on")).await;
    let error = PostgresStore::open(&url, PostgresOptions::default()).await.err();
    let error = error.expect("none can be written to");
    assert!(matches!(error, OpenError::NoHost(_)), "{error}");
    for told in [one.port(), other.port(), refused.port()] {
        assert!(error.to_string().contains(&format!("127.0.0.1:{told}: ")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_free_connections_is_reported_with_its_reason() {
    let url = database().await;
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let cluster = Cluster::shared().await;
    let role = format!("{name}_user");
    cluster.query(&name, &format!("CREATE ROLE {role} LOGIN")).await;
    cluster.query(&name, &format!("ALTER DATABASE {name} OWNER TO {role}")).await;
    cluster.query(&name, &format!("GRANT ALL ON SCHEMA public TO {role}")).await;
    let store = open(&url.replace("//postgres@", &format!("//{role}@"))).await;
    cluster.query(&name, &format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;

    let expected = format!("too many connections for role \"{role}\"");
    for outcome in [
        store.shard_state(SHARD).await.map(drop),
        store.append(SHARD, &[publish(event_id())]).await.map(drop),
        // Calls with less time report it as well: lease work, and whether the database answers.
        store.acquire_lease(SHARD, "us", Duration::from_secs(10)).await.map(drop),
        store.heartbeat("us", Duration::from_secs(4)).await.map(drop),
        store.answers(Duration::from_secs(1)).await,
    ] {
        let error = outcome.expect_err("there is no connection");
        assert_eq!(
            error.problem(),
            Some(DatabaseProblem::NoMoreConnections),
            "{}",
            ErrorChain(&error)
        );
        assert!(ErrorChain(&error).to_string().contains(&expected), "{}", ErrorChain(&error));
        assert!(error.is_transient());
    }
    cluster.query(&name, &format!("ALTER ROLE {role} CONNECTION LIMIT 50")).await;
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_failed_is_repeated() {
    let url = database().await;
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let cluster = Cluster::shared().await;
    let role = format!("{name}_user");
    cluster.query(&name, &format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let store = open(&url.replace("//postgres@", &format!("//{role}@"))).await;
    let other = open(&url).await;
    let mut hints = other.take_hints().expect("another process");
    // The announcing connection is made for the first announcement, and is refused then.
    cluster.query(&name, &format!("ALTER ROLE {role} NOLOGIN")).await;
    let news = (Shard(3), Position(1_000));
    store.announce(news.0, news.1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    while let Ok(hint) = hints.try_recv() {
        assert_ne!(hint, news);
    }
    cluster.query(&name, &format!("ALTER ROLE {role} LOGIN")).await;
    eventually("it is announced after all", async || {
        hints.try_recv().ok().filter(|hint| *hint == news)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_keeps_its_limit_of_connections_and_reports_when_all_are_in_use() {
    let url = database().await;
    for connections in [MIN_CONNECTIONS, 6, 10] {
        let options = PostgresOptions {
            connections,
            application_name: format!("of {connections}"),
            ..PostgresOptions::default()
        };
        let store = PostgresStore::open(&url, options).await.expect("the database is opened");
        let mut busy = JoinSet::new();
        for pool in [&store.leases, &store.writers, &store.readers] {
            for _ in 0..=pool.size() {
                let pool = pool.clone();
                let sleep = sqlx::query_as::<_, (String,)>("SELECT pg_sleep(0.9)::text");
                busy.spawn(async move { fetch(&pool, sleep).await });
            }
        }
        store.announce(SHARD, Position(1));
        let mut connection = connect(&url).await;
        // Several times in a row: the server may still be ending connections that opening the database
        // has closed, and a growing number would pass the limit only for a moment.
        let mut in_a_row = 0;
        eventually("all connections are there, and no more", async || {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            let query = sqlx::query_scalar(count).bind(format!("of {connections}"));
            let count: i64 = query.fetch_one(&mut connection).await.expect("answers");
            in_a_row = if count == i64::from(connections) { in_a_row + 1 } else { 0 };
            (in_a_row == 10).then_some(())
        })
        .await;
        let _ = connection.close().await;
        for outcome in busy.join_all().await {
            outcome.expect("answers");
        }
        store.close().await;
    }

    let store = open(&url).await;
    let taken = (0..store.readers.size()).map(|_| store.readers.acquire(ACQUIRE_LIMIT));
    let taken = futures_util::future::join_all(taken).await;
    let error = store.shard_state(SHARD).await.expect_err("all are taken");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("in use") && cause.contains("--database-connections"), "{cause}");
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_written_is_reported_like_an_append() {
    let url = database().await;
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let store = open(&url).await;
    let lease = store.acquire_lease(SHARD, "us", Duration::from_secs(10)).await.expect("asks");
    let lease = lease.expect("it is free");
    assert_eq!(store.other_writes().failure(), None);
    let cluster = Cluster::shared().await;
    let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    cluster.query("postgres", &set).await;
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    cluster.query("postgres", &end).await;
    eventually("leases cannot be renewed", async || {
        store.renew_lease(lease, Duration::from_secs(10)).await.err()?;
        let failure = store.other_writes().failure()?;
        (failure.problem == DatabaseProblem::ReadOnly).then_some(())
    })
    .await;
}

//! Opening a database, and the errors of it.

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_testkit::ports::closed_port;
use keeptrusts_webhooks_testkit::postgres::Cluster;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use super::{connect, database, open};
use crate::open_mode::OpenMode;
use crate::postgres::pool::Pool;
use crate::postgres::session::fetch;
use crate::postgres::{OpenError, PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::given::{SHARD, event_id, publish};

async fn error_of(url: &str) -> OpenError {
    match PostgresStore::open(url, PostgresOptions::default()).await {
        Ok(_) => panic!("the database was opened"),
        Err(error) => error,
    }
}

/// A setting of one of a pool's sessions.
async fn setting(pool: &Pool, name: &str) -> String {
    let query = sqlx::query_as::<_, (String,)>("SELECT current_setting($1)").bind(name);
    fetch(pool, query).await.expect("answers").remove(0).0
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_start_on_an_empty_database_at_once() {
    const PROCESSES: usize = 8;
    let url = database().await;
    let mut starts = JoinSet::new();
    for _ in 0..PROCESSES {
        let url = url.clone();
        starts.spawn(async move { open(&url).await });
    }
    let stores = starts.join_all().await;
    for store in &stores {
        assert_eq!(store.shard_count(), 16);
        store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    }
    let state = stores[0].shard_state(SHARD).await.expect("reads");
    assert_eq!(state.last_position.0, PROCESSES as i64);
    stores[0].shard_state(Shard(15)).await.expect("the last shard is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_decides_the_number_of_shards() {
    let url = database().await;
    open(&url).await.close().await;
    let shrink = "UPDATE database SET shard_count = 2; DELETE FROM shards WHERE shard >= 2";
    sqlx::raw_sql(shrink).execute(&mut connect(&url).await).await.expect("changes");
    let store = open(&url).await;
    assert_eq!(store.shard_count(), 2);
    let cluster = store.heartbeat("us", std::time::Duration::from_secs(1)).await.expect("reports");
    assert_eq!(cluster.shards.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_set_up_whatever_the_url_and_the_database_say() {
    let url = database().await;
    let name = url.rsplit('/').next().expect("a name");
    let careless = format!(
        "ALTER DATABASE {name} SET synchronous_commit = off;
         ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    );
    let mut connection = connect(&url).await;
    sqlx::raw_sql(AssertSqlSafe(careless)).execute(&mut connection).await.expect("changes");
    let store = open(&format!("{url}?options=-c%20lock_timeout%3D0")).await;
    for pool in [&store.writers, &store.readers, &store.leases] {
        for (name, value) in [
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("tcp_keepalives_idle", "2"),
            ("tcp_keepalives_interval", "1"),
            ("tcp_user_timeout", "5000"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("application_name", "keeptrusts-webhooks"),
        ] {
            assert_eq!(setting(pool, name).await, value, "{name}");
        }
    }
    for (pool, statement, lock) in
        [(&store.writers, "5s", "2s"), (&store.readers, "5s", "2s"), (&store.leases, "1s", "500ms")]
    {
        assert_eq!(setting(pool, "statement_timeout").await, statement);
        assert_eq!(setting(pool, "lock_timeout").await, lock);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_durability_is_kept() {
    let store =
        open(&format!("{}?options[synchronous_commit]=remote_apply", database().await)).await;
    assert_eq!(setting(&store.writers, "synchronous_commit").await, "remote_apply");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_to_do() {
    let cluster = Cluster::shared().await;
    let missing = error_of(&cluster.url("missing")).await;
    assert!(matches!(&missing, OpenError::NoDatabase { database, .. } if database == "missing"));
    assert!(missing.to_string().contains("CREATE DATABASE"), "{missing}");

    let refused = closed_port();
    let unreachable = error_of(&format!("postgres://127.0.0.1:{}/any", refused.port())).await;
    assert!(matches!(unreachable, OpenError::Unreachable { .. }), "{unreachable}");
    let address = format!("127.0.0.1:{}", refused.port());
    assert!(unreachable.to_string().contains(&address), "{unreachable}");

    let no_host = error_of("postgres://no-such-host.invalid/any").await;
    assert!(matches!(no_host, OpenError::Unreachable { .. }), "{no_host}");

    let no_tls = error_of(&format!("{}?sslmode=require", database().await)).await;
    assert!(matches!(no_tls, OpenError::Tls { .. }), "{no_tls}");

    let standby = "options=-c%20default_transaction_read_only%3Don";
    let read_only = error_of(&format!("{}?{standby}", database().await)).await;
    assert!(matches!(read_only, OpenError::ReadOnly { .. }), "{read_only}");

    for wrong in ["", "database", "postgres://host:port/any", "postgres://host/any?sslmode=maybe"] {
        let error = error_of(wrong).await;
        assert!(matches!(error, OpenError::InvalidUrl(_)), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_version_is_left_alone() {
    let url = database().await;
    open(&url).await.close().await;
    let mut connection = connect(&url).await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '\\x00', 0)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("inserts");
    let error = error_of(&url).await;
    assert!(matches!(error, OpenError::Newer { found: 9999, known: 1.. }), "{error}");

    // As before the migrations were merged into one: there were twelve.
    let unreleased = "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1;
         UPDATE _sqlx_migrations SET version = 12 WHERE version = 9999";
    sqlx::raw_sql(unreleased).execute(&mut connection).await.expect("changes");
    for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::Unchanged] {
        let opened = PostgresStore::open_as(mode, &url, PostgresOptions::default()).await;
        let Err(error) = opened else { panic!("{mode:?} opened it") };
        assert!(matches!(error, OpenError::Unreleased { .. }), "{mode:?}: {error}");
        assert!(error.to_string().contains("create another database"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_the_error_of_a_refused_user_does_not_contain_the_password() {
    const PASSWORD: &str = "hunter2-but-longer";
    let cluster = Cluster::builder().fsync(false).create().await;
    let url = cluster.create_database("guarded").await;
    // The rules for these roles come before the one that admits everybody.
    cluster
        .query(
            "guarded",
            "SET password_encryption = 'scram-sha-256';
             CREATE ROLE guarded LOGIN PASSWORD 'another';
             CREATE ROLE unwelcome LOGIN PASSWORD 'another';
             CREATE ROLE guest LOGIN;
             DO $$ BEGIN EXECUTE format(
                 'COPY (VALUES (%L), (%L), (%L)) TO %L',
                 'host all guarded 127.0.0.1/32 scram-sha-256',
                 'host all unwelcome 127.0.0.1/32 reject',
                 'host all all 127.0.0.1/32 trust',
                 current_setting('hba_file')); END $$;
             SELECT pg_reload_conf()",
        )
        .await;
    let as_user = |user: &str| url.replace("//postgres@", &format!("//{user}:{PASSWORD}@"));
    let refusals = async |user: &str| {
        let error = error_of(&as_user(user)).await;
        let texts = [error.to_string(), format!("{error:?}")];
        assert!(texts.iter().all(|text| !text.contains(PASSWORD)), "{error:?}");
        error
    };
    super::eventually("the rules are in force", async || {
        matches!(refusals("guarded").await, OpenError::AccessDenied { .. }).then_some(())
    })
    .await;
    for user in ["guarded", "unwelcome", "nobody"] {
        let error = refusals(user).await;
        assert!(
            matches!(&error, OpenError::AccessDenied { user: who, .. } if who == user),
            "{error}"
        );
        assert!(error.to_string().contains("password"), "{error}");
    }
    let error = refusals("guest").await;
    assert!(matches!(&error, OpenError::NotPermitted { user, .. } if user == "guest"), "{error}");

    let refused = closed_port();
    for url in [
        format!("postgres://us:{PASSWORD}@127.0.0.1:{}/any", refused.port()),
        format!("postgres://us:{PASSWORD}@127.0.0.1:port/any"),
        format!("postgres://us:{PASSWORD}@127.0.0.1/any?sslmode=maybe"),
        format!("us:{PASSWORD}@127.0.0.1/any"),
    ] {
        let error = error_of(&url).await;
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    }
}

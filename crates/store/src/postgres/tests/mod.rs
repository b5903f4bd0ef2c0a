//! The conformance suite, and tests of what only Postgres has. Each test has a database of its own
//! in a temporary cluster.

mod contended_rows;
mod crashes;
mod failover;
mod growth;
mod opening;
mod plans;
mod pooling;
mod proxy;
mod several_processes;
mod silent_connections;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_testkit::postgres::Cluster;
use sqlx::{Connection, PgConnection};

use super::{PostgresOptions, PostgresStore};
use crate::store::Store;
use crate::testing::conformance::{Fixture, conformance_tests};

/// Creates an empty database in the shared cluster. Returns its URL.
async fn database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("store_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Cluster::shared().await.create_database(&name).await
}

/// Opens a database as one more process would.
async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(url, PostgresOptions::default()).await.expect("the database is opened")
}

/// A connection behind the store's back.
async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database is there")
}

/// Repeats a check until it returns something.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    const STEP: Duration = Duration::from_millis(10);
    const STEPS: u32 = 3_000;
    for _ in 0..STEPS {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("{what}: not within {:?}", STEP * STEPS);
}

/// The process id of a session that waits for a lock in this connection's database.
async fn waiting_session(connection: &mut PgConnection) -> i32 {
    eventually("a session waits for a lock", async || {
        let sql = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar(sql).fetch_optional(&mut *connection).await.expect("answers")
    })
    .await
}

async fn fixture() -> Fixture {
    let url = database().await;
    // A machine that is busy or stands still must not fail a check.
    let options = || PostgresOptions {
        statement_timeout: Duration::from_secs(60),
        ..PostgresOptions::default()
    };
    let mut stores = Vec::<Arc<dyn Store>>::new();
    for _ in 0..2 {
        let store = PostgresStore::open(&url, options()).await;
        stores.push(Arc::new(store.expect("the database is opened")));
    }
    Fixture::new(stores).with_damage(move |damage| {
        let url = url.clone();
        async move {
            let mut connection = connect(&url).await;
            sqlx::raw_sql(damage.sql()).execute(&mut connection).await.expect("damages");
            true
        }
    })
}

conformance_tests!(fixture);

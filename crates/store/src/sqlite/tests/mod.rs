//! The conformance suite, and tests of what only SQLite has.

#![allow(clippy::unwrap_used)]

mod administration;
mod crashes;
mod erasure;
mod failures;
mod opening;
mod ownership;
mod plans;
mod power_cut;
mod restored_files;
mod tables;

use std::path::Path;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::{Fixture, ManualClock, conformance_tests};

async fn fixture() -> Fixture {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = ManualClock::new();
    let options = SqliteOptions { clock: clock.as_clock(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&folder.path().join("webhooks.db"), options).await;
    let store = Arc::new(store.expect("the database opens"));
    let damaged = Arc::clone(&store);
    Fixture::new(vec![Arc::clone(&store) as Arc<dyn Store>])
        .with_clock(clock)
        .with_damage(move |damage| {
            let store = Arc::clone(&damaged);
            async move {
                run(&store, damage.sql()).await;
                true
            }
        })
        .keeping(folder)
}

/// Opens a database with the options that services use.
async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).await.expect("the database opens")
}

/// Runs a statement behind the store's back, on the writer's connection.
async fn run(store: &SqliteStore, sql: &str) {
    let mut writer = store.writer.lock().await.expect("the writer is there");
    let connection = writer.connection().expect("the database is open");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("the statement runs");
}

conformance_tests!(fixture);

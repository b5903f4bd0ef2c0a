//! How every connection to the file is set up.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// How many statements a connection keeps compiled: every size of every set-based one, and some
/// more.
const COMPILED_STATEMENTS: usize = 200;
/// Only a backup or a person with a shell can hold the file's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A checkpoint every 16 MiB: then pages that change often are written to the file less often.
pub(super) const PAGES_BETWEEN_CHECKPOINTS: u32 = 4_096;

pub(super) fn reading_options(path: &Path) -> SqliteConnectOptions {
    connect_options(path).pragma("query_only", "ON")
}

/// With room for the pages that every append changes.
pub(super) fn writing_options(path: &Path) -> SqliteConnectOptions {
    connect_options(path)
        .pragma("secure_delete", "FAST") // see `erase`
        .pragma("cache_size", "-16384") // KiB
        .pragma("wal_autocheckpoint", PAGES_BETWEEN_CHECKPOINTS.to_string()) // of 4 KiB
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is durable when it is acknowledged (invariant 1).
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // The WAL keeps at most 64 MiB after a burst, or after a check that has held it open.
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(COMPILED_STATEMENTS)
        .thread_name(|number| format!("sqlite-{number}"))
        .disable_statement_logging()
}

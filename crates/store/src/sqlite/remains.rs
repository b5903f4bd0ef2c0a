//! What a process has left of a database that did not close it.

use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::place::beside;

/// What there was before SQLite opened the file.
#[derive(Debug)]
pub(super) struct Remains {
    /// What the process had written into the lock file.
    process: Option<String>,
    /// How much was in the write-ahead log. SQLite removes it when the last connection closes.
    log_bytes: u64,
    /// Up to which record the file itself tells, if it can be read without that log.
    last_position: Option<i64>,
}

impl Remains {
    /// Looks, and changes nothing. None: the database is new, or was closed properly.
    pub(super) async fn find(path: &Path, process: Option<String>) -> Option<Remains> {
        let log = fs::metadata(beside(path, "-wal"));
        let log_bytes = log.map_or(0, |metadata| metadata.len());
        if log_bytes == 0 {
            return None;
        }
        let last_position = last_position_in_file(path).await.ok();
        Some(Remains { process, log_bytes, last_position })
    }

    /// Says what was found, now that SQLite has recovered it.
    pub(super) async fn tell(
        self,
        path: &Path,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let last_position = last_position(connection).await?;
        let recovered = self.last_position.map(|known| last_position - known);
        tracing::info!(
            database = %path.display(),
            process = self.process.as_deref().unwrap_or("unknown"),
            write_ahead_log_bytes = self.log_bytes,
            recovered_records = recovered,
            last_position,
            "the database was not closed the last time; what was committed has been recovered"
        );
        Ok(())
    }
}

/// As if there were no write-ahead log. Pages of it may have been written to the file in any
/// order, so that this may fail.
async fn last_position_in_file(path: &Path) -> Result<i64, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
    let mut connection = options.disable_statement_logging().connect().await?;
    let found = match has_tables(&mut connection).await {
        Ok(true) => last_position(&mut connection).await,
        // All that there is may be in the log.
        has_none => has_none.map(|_| 0),
    };
    connection.close().await?;
    found
}

async fn has_tables(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let found = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'shards'";
    sqlx::query_scalar(found).fetch_one(connection).await
}

async fn last_position(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let last = "SELECT coalesce(sum(last_position), 0) FROM shards";
    sqlx::query_scalar(last).fetch_one(connection).await
}

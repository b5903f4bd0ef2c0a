//! What a database says of its own commits: how many there were, in which opening, and whether it
//! was closed.
//!
//! It is in the row of `shards` that every transaction changes, and thus in the write-ahead log as
//! well. [`inspection`](super::inspection) compares the two.
//!
//! Decision: docs/decisions/the-database-knows-its-write-ahead-log.md

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

/// The row of `shards`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub(super) struct CommitState {
    /// Of the log of events.
    pub(super) last_position: i64,
    pub(super) commits: i64,
    /// The opening that wrote the file last. None: the tables were just created.
    pub(super) opening: Option<String>,
    pub(super) previous_opening: Option<String>,
    pub(super) is_closed: bool,
}

/// What a database can be read as, with its write-ahead log or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    NoTables,
    Tables(CommitState),
    /// Other tables than ours, or pages of different ages.
    Unknown,
}

impl Contents {
    /// Reads with these options and changes nothing.
    ///
    /// After a power cut in the middle of a checkpoint some pages are older than others, and a
    /// page may be half written: an error of reading is no error here.
    pub(super) async fn read(options: SqliteConnectOptions) -> Contents {
        let options = options.read_only(true).disable_statement_logging();
        let Ok(mut connection) = options.connect().await else { return Contents::Unknown };
        let contents = contents(&mut connection).await;
        // Nothing was written.
        _ = connection.close().await;
        contents.unwrap_or(Contents::Unknown)
    }

    /// Whether the process that had it open last has closed it.
    pub(super) fn is_closed(&self) -> bool {
        let Contents::Tables(state) = self else { return false };
        state.opening.is_some() && state.is_closed
    }
}

async fn contents(connection: &mut SqliteConnection) -> Result<Contents, sqlx::Error> {
    let (has_tables, has_shards): (bool, bool) = sqlx::query_as(
        "SELECT count(*) > 0, count(*) FILTER (WHERE name = 'shards') > 0 FROM sqlite_schema",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !has_tables {
        return Ok(Contents::NoTables);
    }
    if !has_shards {
        return Ok(Contents::Unknown);
    }
    // One row has the openings; records and commits are counted in the row of their shard.
    let state = sqlx::query_as(
        "SELECT totals.*, opening, previous_opening, is_closed
         FROM shards
         CROSS JOIN (SELECT sum(last_position) AS last_position, sum(commits) AS commits
                     FROM shards) AS totals
         WHERE shard = 0",
    );
    Ok(Contents::Tables(state.fetch_one(connection).await?))
}

pub(super) async fn last_position(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let last = "SELECT coalesce(sum(last_position), 0) FROM shards";
    sqlx::query_scalar(last).fetch_one(connection).await
}

/// Begins a new opening together with a new write-ahead log: once all of the old log is in the
/// file, and the file says so.
///
/// If somebody else (a person with a shell, a backup) reads the file meanwhile, its log cannot be
/// ended, and the current opening goes on. Answers with the opening that is current now; none if
/// there was none and none was begun.
pub(super) async fn begin_opening(
    connection: &mut SqliteConnection,
    new: &str,
) -> Result<Option<String>, sqlx::Error> {
    let is_new = end_log(connection).await?;
    sqlx::query(
        "UPDATE shards
         SET commits = commits + 1,
             previous_opening = iif(?1, opening, previous_opening),
             opening = iif(?1, ?2, opening),
             is_closed = FALSE
         WHERE shard = 0",
    )
    .bind(is_new)
    .bind(new)
    .execute(&mut *connection)
    .await?;
    // So that the file itself says that it is open, should its log be lost.
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await?;
    let opening = "SELECT opening FROM shards WHERE shard = 0";
    sqlx::query_scalar(opening).fetch_one(connection).await
}

/// Moves all of the write-ahead log into the file, which then says that it has none. False: a
/// reader was in the way for too long.
pub(super) async fn end_log(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    set_closed(connection).await?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = sqlx::query_scalar(checkpoint).fetch_one(connection).await?;
    Ok(!is_busy)
}

/// Notes that the write-ahead log is about to be moved into the file.
pub(super) async fn set_closed(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let set = "UPDATE shards SET commits = commits + 1, is_closed = TRUE
               WHERE shard = 0 AND NOT is_closed";
    sqlx::query(set).execute(connection).await.map(|_| ())
}

/// Counts a transaction that does not append.
pub(super) async fn count_commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let count = "UPDATE shards SET commits = commits + 1 WHERE shard = 0";
    sqlx::query(count).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests;

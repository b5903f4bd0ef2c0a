//! The one connection that writes.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::commit_state::{count_commit, set_closed};
use super::errors::store_error;
use super::path_check::{FileReplaced, PathCheck};
use super::result_code::failure;
use crate::database_problem::DatabaseProblem;
use crate::error::{DatabaseFailure, StoreError};
use crate::log::other_writes::OtherWrites;

/// Lends the connection to one caller at a time, in the order in which they ask.
///
/// A caller that is cancelled in the middle leaves its commands, and then a ROLLBACK, in the
/// connection's queue; the next caller's commands come after them. So each caller also waits for
/// every transaction before its own.
///
/// The connection is lent only if the paths still lead to the open files: what is written to a file
/// that was replaced is lost after the next start, so it must not be acknowledged.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Mutex<WriteConnection>,
    path_check: PathCheck,
    other_writes: OtherWrites,
}

enum WriteConnection {
    Open(SqliteConnection),
    Broken,
    Closed,
}

impl Writer {
    /// Writes with this connection, and with new ones of these options after it breaks.
    pub(super) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        path_check: PathCheck,
    ) -> Writer {
        let connection = Mutex::new(WriteConnection::Open(connection));
        Writer { options, connection, path_check, other_writes: OtherWrites::default() }
    }

    /// Waits for the callers before.
    pub(super) async fn lock(&self) -> Result<WriterGuard<'_>, StoreError> {
        let mut connection = self.connection.lock().await;
        match *connection {
            WriteConnection::Open(_) => self.path_check.check()?,
            WriteConnection::Broken => {
                // A new connection opens whatever file the path leads to, without a lock.
                self.path_check.check_database()?;
                let new = self.options.connect().await.map_err(store_error)?;
                *connection = WriteConnection::Open(new);
                self.path_check.expect_current_log();
            }
            WriteConnection::Closed => {}
        }
        Ok(WriterGuard { connection, other_writes: &self.other_writes })
    }

    pub(super) fn other_writes(&self) -> &OtherWrites {
        &self.other_writes
    }

    /// Whether the next start will find what is written now.
    pub(super) fn check_paths(&self) -> Result<(), StoreError> {
        Ok(self.path_check.check()?)
    }

    /// Closes the connection for good, after the callers before. The owner of the database notes
    /// in it that it is closed, unless the file was replaced.
    pub(super) async fn close(&self, is_owner: bool) {
        let connection =
            std::mem::replace(&mut *self.connection.lock().await, WriteConnection::Closed);
        let WriteConnection::Open(mut connection) = connection else { return };
        if is_owner
            && self.path_check.check().is_ok()
            && let Err(error) = set_closed(&mut connection).await
        {
            tracing::debug!(%error, "the database does not say that it is closed");
        }
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "the database was not closed properly");
        }
    }
}

/// The right to write until one of the `finish` functions is called, or it is dropped.
pub(super) struct WriterGuard<'a> {
    connection: MutexGuard<'a, WriteConnection>,
    other_writes: &'a OtherWrites,
}

impl WriterGuard<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match &mut *self.connection {
            WriteConnection::Open(connection) => Ok(connection),
            WriteConnection::Broken | WriteConnection::Closed => {
                Err(StoreError::Unavailable("the database is closed".into()))
            }
        }
    }

    /// Finishes a write that is not an append, and notes its outcome.
    pub(super) fn finish<T>(self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.other_writes.note(&outcome);
        self.finish_append(outcome)
    }

    /// Finishes an append, or what belongs to appends, whose outcome the log notes.
    ///
    /// After a failure the connection is given up: SQLite rolls back by itself when, for example,
    /// the disk is full, and sqlx would still believe that the connection is in a transaction.
    pub(super) fn finish_append<T>(
        mut self,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if outcome.is_err()
            && let WriteConnection::Open(_) = *self.connection
        {
            *self.connection = WriteConnection::Broken;
        }
        outcome
    }
}

impl From<FileReplaced> for StoreError {
    /// Nothing was changed, and writing can go on once the file is put back.
    fn from(replaced: FileReplaced) -> StoreError {
        StoreError::Unavailable(DatabaseFailure::new(DatabaseProblem::Unreachable, replaced))
    }
}

/// Begins a transaction that writes, and counts it (see [`inspection`](super::inspection)).
pub(super) async fn begin(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, StoreError> {
    let mut transaction = begin_uncounted(connection).await?;
    count_commit(&mut transaction).await.map_err(store_error)?;
    Ok(transaction)
}

/// Begins a transaction that counts itself together with its other changes of the row. It waits
/// for its lock here and not in the middle.
pub(super) async fn begin_uncounted(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, StoreError> {
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    // Whatever the error is, nothing was done yet, and the next caller gets another connection.
    begun.map_err(|error| StoreError::Unavailable(failure(error)))
}

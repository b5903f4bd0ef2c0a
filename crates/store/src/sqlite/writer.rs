//! The one connection that writes.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::errors::{failed, failure};
use super::marks::{count_commit, set_closed};
use super::names::{Names, Replaced};
use crate::database_problem::DatabaseProblem;
use crate::error::{DatabaseFailure, StoreError};
use crate::log::other_writes::OtherWrites;

/// Whoever wants to write waits for a turn, first come first served.
///
/// A caller who goes away in the middle leaves its commands, and then a ROLLBACK, in the
/// connection's queue; whoever has the next turn comes after them. So a turn also waits for
/// every transaction before it.
///
/// A turn begins only if the file still has its name: what is written to a file that was replaced
/// is nowhere after the next start, so that nothing may be acknowledged that was written there.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    slot: Mutex<Slot>,
    names: Names,
    other_writes: OtherWrites,
}

enum Slot {
    Open(SqliteConnection),
    Broken,
    Closed,
}

impl Writer {
    /// Writes with this connection, and with others like it if it should break.
    pub(super) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        names: Names,
    ) -> Writer {
        let slot = Mutex::new(Slot::Open(connection));
        Writer { options, slot, names, other_writes: OtherWrites::default() }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        match *slot {
            Slot::Open(_) => self.names.check()?,
            Slot::Broken => {
                // A new connection would go where the name leads, without a lock.
                self.names.check_database()?;
                *slot = Slot::Open(self.options.connect().await.map_err(failed)?);
                self.names.note_log();
            }
            Slot::Closed => {}
        }
        Ok(Turn { slot, other_writes: &self.other_writes })
    }

    /// What came of the writes that are no appends.
    pub(super) fn other_writes(&self) -> &OtherWrites {
        &self.other_writes
    }

    /// Whether what is written lands where the next start looks for it.
    pub(super) fn check_names(&self) -> Result<(), StoreError> {
        Ok(self.names.check()?)
    }

    /// Closes the connection after the turns before, for good. The owner of the database notes
    /// in it that it is closed, unless it is not there any more.
    pub(super) async fn close(&self, is_owner: bool) {
        let slot = std::mem::replace(&mut *self.slot.lock().await, Slot::Closed);
        let Slot::Open(mut connection) = slot else { return };
        if is_owner
            && self.names.check().is_ok()
            && let Err(error) = set_closed(&mut connection).await
        {
            tracing::debug!(%error, "the database does not say that it is closed");
        }
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "the database was not closed properly");
        }
    }
}

/// The right to write, for now.
pub(super) struct Turn<'a> {
    slot: MutexGuard<'a, Slot>,
    other_writes: &'a OtherWrites,
}

impl Turn<'_> {
    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match &mut *self.slot {
            Slot::Open(connection) => Ok(connection),
            Slot::Broken | Slot::Closed => {
                Err(StoreError::Unavailable("the database is closed".into()))
            }
        }
    }

    /// Ends the turn of a write that is no append, and notes what came of it.
    pub(super) fn end<T>(self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.other_writes.note(&outcome);
        self.end_of_append(outcome)
    }

    /// Ends the turn of an append, or of what belongs to appends, which the log notes. After a failure the connection is given up: SQLite rolls back by itself
    /// when, for example, the disk is full, and sqlx would go on believing that the connection
    /// is inside of a transaction.
    pub(super) fn end_of_append<T>(
        mut self,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if outcome.is_err()
            && let Slot::Open(_) = *self.slot
        {
            *self.slot = Slot::Broken;
        }
        outcome
    }
}

impl From<Replaced> for StoreError {
    /// Nothing was changed, and who puts the file back can go on.
    fn from(replaced: Replaced) -> StoreError {
        StoreError::Unavailable(DatabaseFailure::new(DatabaseProblem::Unreachable, replaced))
    }
}

/// Begins a transaction that writes, and counts it (see [`marks`](super::marks)).
pub(super) async fn begin(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, StoreError> {
    let mut transaction = begin_uncounted(connection).await?;
    count_commit(&mut transaction).await.map_err(failed)?;
    Ok(transaction)
}

/// The same for one that counts itself with what else it changes in the row. It waits for its lock
/// here and not in the middle.
pub(super) async fn begin_uncounted(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, StoreError> {
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    // Whatever it is, nothing has been done yet, and the next turn has another connection.
    begun.map_err(|error| StoreError::Unavailable(failure(error)))
}

//! What the database's errors mean for the caller.

use sqlx::Error;

use crate::database_problem::DatabaseProblem;
use crate::error::{DatabaseFailure, StoreError};

/// SQLite's primary result codes: <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const NOTADB: i32 = 26;
}

/// An error before COMMIT: nothing was changed.
pub(super) fn failed(error: Error) -> StoreError {
    use code::{BUSY, CANTOPEN, FULL, INTERRUPT, IOERR, LOCKED, NOMEM, PROTOCOL, READONLY};
    match &error {
        Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed | Error::Io(_) => {
            StoreError::Unavailable(failure(error))
        }
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) => {
            StoreError::Unreadable(error.to_string())
        }
        _ => match primary_code(&error) {
            // The machine's state, not ours: memory, disk or permissions may come back.
            Some(
                BUSY | LOCKED | NOMEM | READONLY | INTERRUPT | IOERR | FULL | CANTOPEN | PROTOCOL,
            ) => StoreError::Unavailable(failure(error)),
            _ => StoreError::Failed(error.into()),
        },
    }
}

/// An error of COMMIT itself.
pub(super) fn commit_failed(error: Error) -> StoreError {
    match primary_code(&error) {
        // Somebody else has the lock, or the disk had no room for the last page: the
        // transaction is not in the file.
        Some(code::BUSY | code::FULL) => StoreError::Unavailable(failure(error)),
        // The pages may have been written, and only fsync have failed.
        _ => StoreError::Unknown(failure(error)),
    }
}

/// What the machine lacks, if it was SQLite that said so.
fn problem_of(error: &Error) -> Option<DatabaseProblem> {
    match primary_code(error)? {
        code::FULL => Some(DatabaseProblem::DiskFull),
        code::READONLY => Some(DatabaseProblem::ReadOnly),
        code::IOERR | code::CANTOPEN => Some(DatabaseProblem::FilesFail),
        code::NOMEM => Some(DatabaseProblem::Overloaded),
        // Another program is in the middle of a transaction.
        code::BUSY | code::LOCKED => Some(DatabaseProblem::Locked),
        _ => None,
    }
}

/// The error with the problem that it stands for.
pub(super) fn failure(error: Error) -> DatabaseFailure {
    let problem = problem_of(&error).unwrap_or(DatabaseProblem::Unreachable);
    DatabaseFailure::new(problem, error)
}

/// Whether the file is not a database at all.
pub(super) fn says_not_a_database(error: &Error) -> bool {
    primary_code(error) == Some(code::NOTADB)
}

/// Whether the file is a database that is damaged.
pub(super) fn says_damaged(error: &Error) -> bool {
    primary_code(error) == Some(code::CORRUPT)
}

/// The lowest byte of the extended code that sqlx gives as text.
fn primary_code(error: &Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

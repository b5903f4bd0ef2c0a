//! SQLite's primary result codes, and what they mean: <https://www.sqlite.org/rescode.html>.

use sqlx::Error;

use crate::database_problem::DatabaseProblem;
use crate::error::DatabaseFailure;

pub(super) const BUSY: i32 = 5;
pub(super) const LOCKED: i32 = 6;
pub(super) const NOMEM: i32 = 7;
pub(super) const READONLY: i32 = 8;
pub(super) const INTERRUPT: i32 = 9;
pub(super) const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
pub(super) const FULL: i32 = 13;
pub(super) const CANTOPEN: i32 = 14;
pub(super) const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

/// The lowest byte of the extended code, which sqlx gives as text.
pub(super) fn primary_code(error: &Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// What the machine lacks, if the error is SQLite's and says so.
fn problem_of(error: &Error) -> Option<DatabaseProblem> {
    match primary_code(error)? {
        FULL => Some(DatabaseProblem::DiskFull),
        READONLY => Some(DatabaseProblem::ReadOnly),
        IOERR | CANTOPEN => Some(DatabaseProblem::FilesFail),
        NOMEM => Some(DatabaseProblem::Overloaded),
        // Another program is in the middle of a transaction.
        BUSY | LOCKED => Some(DatabaseProblem::Locked),
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
    primary_code(error) == Some(NOTADB)
}

/// Whether the file is a database that is damaged.
pub(super) fn says_damaged(error: &Error) -> bool {
    primary_code(error) == Some(CORRUPT)
}

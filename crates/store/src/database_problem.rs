//! Why a database does not do what it is asked, as far as every caller may know.

use std::error::Error;
use std::fmt;

/// A problem that passes by itself or when an operator acts. The error of the database, which says
/// more, is for the logs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseProblem {
    /// There is no room for what is to be written.
    DiskFull,
    /// It takes no writes: it is a standby, or an operator has made it read-only.
    ReadOnly,
    /// The operating system reports errors of its files.
    FilesFail,
    /// It has too little memory, or all connections of this process are in use.
    Overloaded,
    /// It takes no more connections, from anybody or for our role.
    NoMoreConnections,
    /// It does not accept the role or the password of this process.
    AccessDenied,
    /// It did not answer within the time that the call may take.
    Silent,
    /// Anything else: it is down, or about to be.
    Unreachable,
    /// Another transaction held a row (on SQLite: the file) for longer than we wait for it.
    Locked,
    /// Other transactions came first: a deadlock, or a serialization failure.
    Conflict,
    /// One statement or one transaction exceeded its time limit.
    TooSlow,
}

/// What a problem stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemScope {
    /// Every call, or every call that writes.
    Database,
    /// Calls about some rows: one shard, or one query. Other calls succeed.
    Rows,
}

impl DatabaseProblem {
    /// What it stops.
    pub fn scope(self) -> ProblemScope {
        match self {
            DatabaseProblem::DiskFull
            | DatabaseProblem::ReadOnly
            | DatabaseProblem::FilesFail
            | DatabaseProblem::Overloaded
            | DatabaseProblem::NoMoreConnections
            | DatabaseProblem::AccessDenied
            | DatabaseProblem::Silent
            | DatabaseProblem::Unreachable => ProblemScope::Database,
            DatabaseProblem::Locked | DatabaseProblem::Conflict | DatabaseProblem::TooSlow => {
                ProblemScope::Rows
            }
        }
    }

    /// Whether it stops writes, but no reads.
    pub(crate) fn is_of_writes(self) -> bool {
        matches!(
            self,
            DatabaseProblem::DiskFull | DatabaseProblem::ReadOnly | DatabaseProblem::FilesFail
        )
    }

    /// Whether a small write may succeed where a larger one fails.
    pub(crate) fn depends_on_size(self) -> bool {
        matches!(self, DatabaseProblem::DiskFull | DatabaseProblem::FilesFail)
    }
}

impl Error for DatabaseProblem {}

impl fmt::Display for DatabaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DatabaseProblem::DiskFull => "the disk is full",
            DatabaseProblem::ReadOnly => "it is read-only",
            DatabaseProblem::FilesFail => "its files cannot be read or written",
            DatabaseProblem::Overloaded => "it is overloaded",
            DatabaseProblem::NoMoreConnections => "it takes no more connections",
            DatabaseProblem::AccessDenied => "it does not let this process in",
            DatabaseProblem::Silent => "it does not answer",
            DatabaseProblem::Unreachable => "it cannot be reached",
            DatabaseProblem::Locked => "another transaction holds what is needed",
            DatabaseProblem::Conflict => "other transactions were in the way",
            DatabaseProblem::TooSlow => "a statement took too long",
        })
    }
}

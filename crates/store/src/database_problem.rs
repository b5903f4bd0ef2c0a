//! Why a database does not do what it is asked: as much as everybody may know.

use std::error::Error;
use std::fmt;

/// A cause that passes when somebody does something about it, or by itself. What the database has
/// said besides is for the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseProblem {
    /// There is no room for what is to be written.
    DiskFull,
    /// It takes no writes: a standby, or an operator wants it so.
    ReadOnly,
    /// The operating system reports errors of its files.
    FilesFail,
    /// It has too little memory, or all connections of this process are in use.
    Overloaded,
    /// It takes no more connections: of anybody, or of our role.
    NoMoreConnections,
    /// It does not accept the role or the password of this process.
    AccessDenied,
    /// It has not said anything for longer than it should take.
    Silent,
    /// Anything else: it is away, or about to be.
    Unreachable,
    /// Another transaction holds a row (on SQLite: the file) for longer than is waited for it.
    Locked,
    /// Other transactions came first: a deadlock, or a serialization failure.
    Conflict,
    /// One statement, or one transaction, took longer than it may.
    TooSlow,
}

/// What a trouble stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemScope {
    /// Everything that is asked of the database.
    Database,
    /// What is asked of some rows: a shard, or one query. The database does its work otherwise.
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

    /// Whether it stops whoever writes, and nobody who reads.
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

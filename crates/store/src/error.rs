//! Why a call of the store failed, by what the caller can do about it.

use std::error::Error;
use std::fmt;

use keeptrusts_webhooks_domain::log::Shard;

use crate::database_problem::DatabaseProblem;
use crate::log::damage::LogDamage;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is overloaded, or others hold what is needed. Nothing was
    /// changed. Try again.
    #[error("the database does not do it now")]
    Unavailable(#[source] DatabaseFailure),
    /// The answer of a commit was lost: it may have happened or not.
    #[error("the database did not say whether it committed")]
    Unknown(#[source] DatabaseFailure),
    /// A shard's row or its records contradict each other. Nothing was changed. Only a backup helps.
    #[error("the log of shard {shard} is damaged: {damage}")]
    DamagedLog { shard: Shard, damage: LogDamage },
    /// A row cannot be read: another program or a newer version wrote it.
    #[error("a row cannot be read: {0}")]
    Unreadable(String),
    /// A newer version of the program wrote a document. To read and write it without its new fields
    /// would lose them. Nothing was changed.
    #[error(
        "a newer version of this program has written a row of {table} (version {found} of its documents; this version of the program knows them up to {known}): use that version"
    )]
    Newer {
        table: &'static str,
        /// The document's version.
        found: i64,
        /// The last version that this program can read.
        known: u16,
    },
    /// A statement failed: a defect of ours. Nothing was changed.
    #[error("a statement failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Why the database does not do it now, for callers who may not see the database's own error.
    /// None: the error is of another kind.
    pub fn problem(&self) -> Option<DatabaseProblem> {
        match self {
            StoreError::Unavailable(failure) | StoreError::Unknown(failure) => {
                Some(failure.problem)
            }
            StoreError::DamagedLog { .. }
            | StoreError::Unreadable(_)
            | StoreError::Newer { .. }
            | StoreError::Failed(_) => None,
        }
    }

    /// Whether the same call may well succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::Unknown(_))
    }
}

impl LogDamage {
    /// The error that names the shard.
    pub fn of(self, shard: Shard) -> StoreError {
        StoreError::DamagedLog { shard, damage: self }
    }
}

/// An error of the database, or of the way to it, with the problem that it stands for. Each backend
/// decides which problem that is, where it converts its errors into this type.
#[derive(Debug)]
pub struct DatabaseFailure {
    problem: DatabaseProblem,
    error: Box<dyn Error + Send + Sync>,
}

impl DatabaseFailure {
    pub(crate) fn new(
        problem: DatabaseProblem,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> DatabaseFailure {
        DatabaseFailure { problem, error: error.into() }
    }

    /// The backend's own error, if it is of this type.
    pub(crate) fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }
}

/// Shows what the backend's error says, and nothing else.
impl fmt::Display for DatabaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for DatabaseFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Where the problem is known, and there is no error that says more.
impl From<DatabaseProblem> for DatabaseFailure {
    fn from(problem: DatabaseProblem) -> DatabaseFailure {
        DatabaseFailure::new(problem, problem)
    }
}

/// Where no error says more, and no other problem is known.
impl From<&'static str> for DatabaseFailure {
    fn from(description: &'static str) -> DatabaseFailure {
        DatabaseFailure::new(DatabaseProblem::Unreachable, description)
    }
}

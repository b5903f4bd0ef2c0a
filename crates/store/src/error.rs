//! Why the database did not do what it was asked.

use keeptrusts_webhooks_domain::log::{Position, Stream};

use crate::database_problem::DatabaseProblem;
use crate::{postgres, sqlite};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is overloaded, or others hold what is needed. Nothing was changed. Try
    /// again.
    #[error("the database does not do it now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer of a commit was lost: it may have happened or not.
    #[error("the database did not say whether it committed")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log contradicts itself.
    #[error(transparent)]
    BrokenLog(#[from] BrokenLog),
    /// A row cannot be read: it was written by something else or by a newer version.
    #[error("a row cannot be read: {0}")]
    Unreadable(String),
    /// A newer version of the program has written a document. To read it without what is new in it
    /// would lose that. Nothing was changed, and nothing changes until this process is updated.
    #[error(
        "a newer version of this program has written a row of {table} (version {found} of its documents; this version of the program knows them up to {known}): update this process"
    )]
    Newer {
        /// The table.
        table: &'static str,
        /// The document's version.
        found: i64,
        /// The last version that can be read.
        known: u16,
    },
    /// A statement failed: a defect of ours. Nothing was changed.
    #[error("a statement failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Why it does not do it now, for people who may not see what it has said. None: it is not that.
    pub fn problem(&self) -> Option<DatabaseProblem> {
        match self {
            StoreError::Unavailable(error) | StoreError::Unknown(error) => {
                Some(problem_of(error.as_ref()))
            }
            StoreError::BrokenLog(_)
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

/// The problem that an error of either database reports.
fn problem_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> DatabaseProblem {
    if let Some(problem) = error.downcast_ref() {
        return *problem;
    }
    let reported = postgres::problem_of(error).or_else(|| sqlite::problem_of(error));
    reported.unwrap_or(DatabaseProblem::Unreachable)
}

/// A log that contradicts itself. Never happens unless somebody has changed records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {position} ({stream}) follows from nothing in the log")]
pub struct BrokenLog {
    /// Its first record that cannot be.
    pub(crate) position: Position,
    /// Whose history that is of.
    pub(crate) stream: Stream,
}

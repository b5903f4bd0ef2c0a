//! Why an operation is not known to be in the log.

use crate::database_problem::DatabaseProblem;
use crate::log::operation::Refusal;

/// Why an operation is not known to be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It was refused for a reason of its own.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database does not do it now. It was not appended; try again.
    #[error("the database did not append it: {0}")]
    Unavailable(DatabaseProblem),
    /// The log was closed before it could be learned whether it was appended.
    #[error("it is not known whether the database committed")]
    InDoubt,
    /// The shard's log is damaged, which the process's log says, or a defect of ours. It was not
    /// appended.
    #[error("the operation could not be appended")]
    Failed,
    /// The process is shutting down. It was not appended.
    #[error("the log is closed")]
    Closed,
}

//! Which problem an error of Postgres, or of the way to it, stands for.

use super::acquire_error::AcquireError;
use super::connect_error::ConnectError;
use super::no_answer::NoAnswer;
use super::server_error::ServerError;
use crate::database_problem::DatabaseProblem;
use crate::error::DatabaseFailure;

impl From<ServerError> for DatabaseFailure {
    fn from(error: ServerError) -> DatabaseFailure {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        DatabaseFailure::new(problem, error)
    }
}

impl From<ConnectError> for DatabaseFailure {
    fn from(error: ConnectError) -> DatabaseFailure {
        let problem = error.problem().unwrap_or(DatabaseProblem::Unreachable);
        DatabaseFailure::new(problem, error)
    }
}

impl From<AcquireError> for DatabaseFailure {
    fn from(error: AcquireError) -> DatabaseFailure {
        let problem = match &error {
            AcquireError::InUse { .. } => Some(DatabaseProblem::Overloaded),
            AcquireError::Connect(error) => error.problem(),
            AcquireError::Closed => None,
        };
        DatabaseFailure::new(problem.unwrap_or(DatabaseProblem::Unreachable), error)
    }
}

impl From<NoAnswer> for DatabaseFailure {
    fn from(error: NoAnswer) -> DatabaseFailure {
        DatabaseFailure::new(DatabaseProblem::Silent, error)
    }
}

/// An error of the connection to the server.
pub(super) fn connection_failure(error: sqlx::Error) -> DatabaseFailure {
    DatabaseFailure::new(DatabaseProblem::Unreachable, error)
}

//! Why Postgres does not do what it is asked, read from the errors of this module.

use super::acquire_error::AcquireError;
use super::no_answer::NoAnswer;
use super::server_error::ServerError;
use crate::database_problem::DatabaseProblem;

/// What Postgres lacks, if the error is one of this module and says so.
pub(crate) fn problem_of(
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Option<DatabaseProblem> {
    if error.is::<NoAnswer>() {
        return Some(DatabaseProblem::Silent);
    }
    match error.downcast_ref::<AcquireError>() {
        Some(AcquireError::InUse { .. }) => Some(DatabaseProblem::Overloaded),
        Some(AcquireError::Connect(error)) => error.problem(),
        Some(AcquireError::Closed) => None,
        None => error.downcast_ref::<ServerError>()?.problem(),
    }
}

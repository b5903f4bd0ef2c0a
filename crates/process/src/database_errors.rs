//! The gRPC statuses of database failures.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_store::{AppendError, DatabaseProblem, ProblemScope, StoreError};
use tonic::Status;

/// When a caller should try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Logs the error of a query. UNAVAILABLE if it may pass, otherwise INTERNAL.
pub fn query_failed(error: StoreError) -> Status {
    if error.is_transient() {
        tracing::warn!(error = &error as &dyn std::error::Error, "a query failed");
        return database_unavailable(error.problem().unwrap_or(DatabaseProblem::Unreachable));
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
    status::internal()
}

/// The status of a failed append. A refusal ends up as INTERNAL: callers handle the refusals that
/// they expect themselves.
pub fn append_failed(error: AppendError) -> Status {
    match error {
        AppendError::Unavailable(problem) => database_unavailable(problem),
        AppendError::Closed => status::unavailable(
            Reason::ShuttingDown,
            "this process is shutting down and has not done it: try again, another one will answer",
            RETRY_DELAY,
        ),
        AppendError::InDoubt => commit_unknown(),
        AppendError::Failed | AppendError::Refused(_) => {
            tracing::error!(%error, "an append failed");
            status::internal()
        }
    }
}

/// UNAVAILABLE: the commit may or may not have happened.
pub fn commit_unknown() -> Status {
    status::unavailable(
        Reason::DatabaseUnavailable,
        "the database has not said whether it was done: try again, with the same idempotency_key or request_id so that it cannot count twice",
        RETRY_DELAY,
    )
}

/// UNAVAILABLE: others have changed the same thing all the time.
pub fn contended() -> Status {
    let message = "others are changing the same thing at the same time, again and again, and nothing was done: try again";
    status::unavailable(Reason::Overloaded, message, RETRY_DELAY)
}

fn database_unavailable(problem: DatabaseProblem) -> Status {
    let message = match problem.scope() {
        ProblemScope::Database => {
            format!("the database is not available, {problem}, and nothing was changed: try again")
        }
        // The database is up and serves other requests.
        ProblemScope::Rows => format!(
            "the database cannot do this just now: {problem}. Nothing was changed: try again"
        ),
    };
    status::unavailable(Reason::DatabaseUnavailable, message, RETRY_DELAY)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn only_a_database_that_does_not_answer_is_called_unavailable() {
        let locked = append_failed(AppendError::Unavailable(DatabaseProblem::Locked));
        assert_eq!(locked.code(), Code::Unavailable, "the caller may try again");
        assert_eq!(
            locked.message(),
            "the database cannot do this just now: another transaction holds what is needed. Nothing was changed: try again"
        );
        let away = query_failed(StoreError::Unavailable(DatabaseProblem::Silent.into()));
        let message =
            "the database is not available, it does not answer, and nothing was changed: try again";
        assert_eq!(away.message(), message);
    }
}

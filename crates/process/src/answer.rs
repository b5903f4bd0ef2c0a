//! What a failing database means to a caller.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, DatabaseProblem, Log, Operation, Place, ProblemScope, Refusal,
    StoreError, TooManyLongReads,
};
use tonic::Status;

/// How long a caller waits for a commit before it is told to try again.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// When it should.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The status of a query that failed.
pub fn query_failed(error: StoreError) -> Status {
    if error.is_transient() {
        tracing::warn!(error = &error as &dyn std::error::Error, "a query failed");
        return database_unavailable(error.problem().unwrap_or(DatabaseProblem::Unreachable));
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
    status::internal()
}

/// The status of an append that failed, and was not refused for a reason of its own.
pub fn append_failed(error: AppendError) -> Status {
    match error {
        AppendError::Unavailable(problem) => database_unavailable(problem),
        AppendError::Closed => status::unavailable(
            Reason::ShuttingDown,
            "this process is shutting down and has not done it: try again, another one will answer",
            RETRY_DELAY,
        ),
        AppendError::InDoubt => in_doubt(),
        AppendError::Failed | AppendError::Refused(_) => {
            tracing::error!(%error, "an append failed");
            status::internal()
        }
    }
}

/// A place for a read that may take long, when it is the organization's turn. RESOURCE_EXHAUSTED if
/// too many of its reads wait already, or if this one has waited for too long.
pub async fn long_read(log: &Log, organization: &OrganizationId) -> Result<Place, Status> {
    let place = log.long_reads().take(organization).await;
    place.map_err(|TooManyLongReads { retry_delay }| {
        let message = "too many long reads of the organization are under way: try again later, or ask for less at a time";
        status::resource_exhausted_for(retry_delay, Reason::Overloaded, message)
    })
}

/// Appends and waits for the commit, for a while.
pub async fn append(
    log: &Log,
    shard: Shard,
    operation: Operation,
) -> Result<Result<AppendOutcome, Refusal>, Status> {
    match tokio::time::timeout(COMMIT_PATIENCE, log.append(shard, operation)).await {
        Ok(Ok(appended)) => Ok(Ok(appended)),
        Ok(Err(AppendError::Refused(refusal))) => Ok(Err(refusal)),
        Ok(Err(error)) => Err(append_failed(error)),
        Err(_) => Err(in_doubt()),
    }
}

/// UNAVAILABLE: not done, or not known to be.
pub fn in_doubt() -> Status {
    status::unavailable(
        Reason::DatabaseUnavailable,
        "the database has not said whether it was done: try again, when publishing with the same idempotency_key so that it cannot count twice",
        RETRY_DELAY,
    )
}

fn database_unavailable(problem: DatabaseProblem) -> Status {
    let told = match problem.scope() {
        ProblemScope::Database => {
            format!("the database is not available, {problem}, and nothing was changed: try again")
        }
        // It is there, and others are served.
        ProblemScope::Rows => format!(
            "the database cannot do this just now: {problem}. Nothing was changed: try again"
        ),
    };
    status::unavailable(Reason::DatabaseUnavailable, told, RETRY_DELAY)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_database_that_is_there_is_not_called_unavailable() {
        let locked = append_failed(AppendError::Unavailable(DatabaseProblem::Locked));
        assert_eq!(locked.code(), Code::Unavailable, "it is to be tried again");
        assert_eq!(
            locked.message(),
            "the database cannot do this just now: another transaction holds what is needed. Nothing was changed: try again"
        );
        let away = query_failed(StoreError::Unavailable(DatabaseProblem::Silent.into()));
        let told =
            "the database is not available, it does not answer, and nothing was changed: try again";
        assert_eq!(away.message(), told);
    }
}

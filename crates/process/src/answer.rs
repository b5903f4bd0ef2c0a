//! What a failing database means to a caller.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::{AppendError, Appended, Log, Operation, Refusal, StoreError};
use tonic::Status;

/// How long a caller waits for a commit before it is told to try again.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// When it should.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The status of a query that failed.
pub fn query_failed(error: StoreError) -> Status {
    if error.is_transient() {
        tracing::warn!(error = &error as &dyn std::error::Error, "a query failed");
        return database_unavailable();
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
    status::internal()
}

/// The status of an append that failed, and was not refused for a reason of its own.
pub fn append_failed(error: AppendError) -> Status {
    match error {
        AppendError::Unavailable => database_unavailable(),
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

/// Appends and waits for the commit, for a while.
pub async fn append(
    log: &Log,
    shard: Shard,
    operation: Operation,
) -> Result<Result<Appended, Refusal>, Status> {
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

fn database_unavailable() -> Status {
    status::unavailable(
        Reason::DatabaseUnavailable,
        "the database is not available and nothing was changed: try again",
        RETRY_DELAY,
    )
}

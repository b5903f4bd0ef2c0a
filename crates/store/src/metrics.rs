//! What the log tells of its commits.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_telemetry::{Histogram, KeyValue, SHORT_SECONDS, counts, seconds};

use crate::store::StoreError;

/// One append transaction is over, as far as is known.
pub(crate) fn transaction<T>(operations: usize, took: Duration, end: &Result<T, StoreError>) {
    let result = match end {
        Ok(_) => "committed",
        // It is looked up.
        Err(StoreError::Unknown(_)) => "unknown",
        Err(_) => "failed",
    };
    COMMIT_DURATION.record(took.as_secs_f64(), &[KeyValue::new("result", result)]);
    COMMIT_OPERATIONS.record(operations as u64, &[]);
}

static COMMIT_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "append transactions, from their begin to the commit";
    seconds("keeptrusts_webhooks.commit.duration", about, SHORT_SECONDS)
});

static COMMIT_OPERATIONS: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    counts("keeptrusts_webhooks.commit.operations", "operations in one append transaction")
});

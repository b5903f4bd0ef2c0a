//! What the log tells of its commits.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_telemetry::{Histogram, KeyValue, SHORT_SECONDS, counts, seconds};

/// One append transaction is over.
pub(crate) fn committed(operations: usize, took: Duration, is_committed: bool) {
    let result = if is_committed { "committed" } else { "failed" };
    COMMIT_DURATION.record(took.as_secs_f64(), &[KeyValue::new("result", result)]);
    if is_committed {
        COMMIT_OPERATIONS.record(operations as u64, &[]);
    }
}

static COMMIT_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "append transactions, from their begin to the commit";
    seconds("keeptrusts_webhooks.commit.duration", about, SHORT_SECONDS)
});

static COMMIT_OPERATIONS: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    counts("keeptrusts_webhooks.commit.operations", "operations in one append transaction")
});

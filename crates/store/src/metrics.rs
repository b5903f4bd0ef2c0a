//! What the log tells of its commits.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_telemetry::{
    Counter, Histogram, KeyValue, SHORT_SECONDS, counter, counts, seconds,
};

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

/// What became of a long read that asked for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongRead {
    Begun,
    Refused,
}

/// A long read has its place, or was refused one.
pub(crate) fn long_read(result: LongRead) {
    LONG_READS.add(1, &[long_read_label(result)]);
}

/// Has what is counted there before it happens, with 0, as `rate()` needs it.
pub(crate) fn begin() {
    for result in [LongRead::Begun, LongRead::Refused] {
        LONG_READS.add(0, &[long_read_label(result)]);
    }
}

fn long_read_label(result: LongRead) -> KeyValue {
    let name = match result {
        LongRead::Begun => "begun",
        LongRead::Refused => "refused",
    };
    KeyValue::new("result", name)
}

static LONG_READS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let about = "reads that go through much of an organization's history, by whether they had to be refused";
    counter("keeptrusts_webhooks.long_reads", about)
});

static COMMIT_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "append transactions, from their begin to the commit";
    seconds("keeptrusts_webhooks.commit.duration", about, SHORT_SECONDS)
});

static COMMIT_OPERATIONS: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    counts("keeptrusts_webhooks.commit.operations", "operations in one append transaction")
});

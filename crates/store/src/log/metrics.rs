//! The metrics of commits and of long reads.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_telemetry::{
    Counter, Histogram, KeyValue, SHORT_SECONDS, counter, counts, seconds,
};

use crate::database_problem::{DatabaseProblem, ProblemScope};
use crate::error::StoreError;

/// Makes the counters appear with 0: `rate()` needs two values, so that a counter that appears with
/// the first failure hides it.
pub(crate) fn register(shard_count: u16) {
    (0..shard_count).for_each(|shard| SHARD_BUSY.add(0, &[shard_label(Shard(shard))]));
    for result in [LongRead::Begun, LongRead::Refused] {
        LONG_READS.add(0, &[long_read_label(result)]);
    }
}

/// Counts an append transaction. Its outcome may be unknown.
pub(crate) fn transaction<T>(operations: usize, took: Duration, end: &Result<T, StoreError>) {
    let result = match end {
        Ok(_) => "committed",
        Err(StoreError::Unknown(_)) => "unknown",
        Err(_) => "failed",
    };
    record_transaction(operations, took, result);
}

/// Counts a batch that failed before its transaction could begin.
pub(crate) fn failed_transaction(operations: usize) {
    record_transaction(operations, Duration::ZERO, "failed");
}

fn record_transaction(operations: usize, took: Duration, result: &'static str) {
    COMMIT_DURATION.record(took.as_secs_f64(), &[KeyValue::new("result", result)]);
    COMMIT_OPERATIONS.record(operations as u64, &[]);
}

/// Counts an append transaction that failed because of rows of its shard. Problems of the whole
/// database are not counted by shard; the log has them.
pub(crate) fn failed(shard: Shard, problem: DatabaseProblem) {
    if problem.scope() == ProblemScope::Rows {
        SHARD_BUSY.add(1, &[shard_label(shard)]);
    }
}

fn shard_label(shard: Shard) -> KeyValue {
    KeyValue::new("shard", i64::from(shard.0))
}

/// The outcome of asking for a long read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongRead {
    Begun,
    Refused,
}

/// Counts a long read.
pub(crate) fn long_read(result: LongRead) {
    LONG_READS.add(1, &[long_read_label(result)]);
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

static SHARD_BUSY: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let about =
        "append transactions that failed because others held rows of the shard, or took too long";
    counter("keeptrusts_webhooks.shard.busy", about)
});

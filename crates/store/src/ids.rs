//! New ids (the time and 80 random bits), new traces, and the clock that they are made by.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};
use ulid::Ulid;

use crate::keyring::random;

/// A ULID of this time. Ids of later milliseconds sort after it.
pub fn new_ulid(now: Timestamp) -> Ulid {
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Ulid::from_parts(milliseconds, u128::from_le_bytes(random()))
}

/// A trace of its own, for what belongs to no caller's. Not sampled: nobody records its root.
pub fn new_trace() -> TraceContext {
    TraceContext { trace_id: TraceId(random()), span_id: random(), sampled: false }
}

/// The clock of the machine, in microseconds: what the tables hold, so that a time means the
/// same in memory and in a row.
pub fn system_clock() -> crate::Clock {
    std::sync::Arc::new(|| {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    })
}

//! Requests that are refused because there is no room for them. Nothing is hidden from operators:
//! not who has taken what there was, and not how often it happens.

use std::fmt::Display;
use std::sync::LazyLock;

use keeptrusts_webhooks_telemetry::{Counter, KeyValue, counter};

use crate::shares::Exhausted;

/// Has the counters of what can run out there before it does, with 0: `rate()` needs two values.
pub fn begin(what: &'static str) {
    for exhausted in [Exhausted::Own, Exhausted::All] {
        REFUSED.add(0, &labels(what, exhausted));
    }
}

/// Counts and logs that a request of `holder` was refused. `what` has run out, in a word for metrics;
/// `limit` says what permits more of it: "see --flag", or that nothing does.
pub fn tell(what: &'static str, holder: &dyn Display, exhausted: Exhausted, limit: &str) {
    REFUSED.add(1, &labels(what, exhausted));
    match exhausted {
        Exhausted::Own => tracing::warn!(
            what, %holder,
            "requests are refused: their sender has its share already, {limit}"
        ),
        Exhausted::All => tracing::warn!(
            what, %holder,
            "requests are refused: there are too many of all senders together, {limit}"
        ),
    }
}

fn labels(what: &'static str, exhausted: Exhausted) -> [KeyValue; 2] {
    let limit = match exhausted {
        Exhausted::Own => "share",
        Exhausted::All => "total",
    };
    [KeyValue::new("what", what), KeyValue::new("limit", limit)]
}

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let about = "requests refused because their sender had its share, or because all was taken";
    counter("keeptrusts_webhooks.requests.refused", about)
});

//! The metric and the log lines of requests that are refused because a limit is reached.

use std::fmt::Display;
use std::sync::LazyLock;

use keeptrusts_webhooks_telemetry::{Counter, KeyValue, counter};

use crate::shares::LimitReached;

/// Creates the counters of a resource with the value 0, before its first refusal: `rate()` needs
/// two values.
pub fn register(resource: &'static str) {
    for limit in [LimitReached::Share, LimitReached::Total] {
        REFUSED.add(0, &labels(resource, limit));
    }
}

/// Counts and logs the refusal of a request of `holder`. `resource` is the value of the label `what`;
/// `remedy` says how operators can permit more: "see --flag", or that they cannot.
pub fn record(resource: &'static str, holder: &dyn Display, limit: LimitReached, remedy: &str) {
    REFUSED.add(1, &labels(resource, limit));
    match limit {
        LimitReached::Share => tracing::warn!(
            what = resource, %holder,
            "requests are refused: their sender has its share already, {remedy}"
        ),
        LimitReached::Total => tracing::warn!(
            what = resource, %holder,
            "requests are refused: there are too many of all senders together, {remedy}"
        ),
    }
}

fn labels(resource: &'static str, limit: LimitReached) -> [KeyValue; 2] {
    let limit = match limit {
        LimitReached::Share => "share",
        LimitReached::Total => "total",
    };
    [KeyValue::new("what", resource), KeyValue::new("limit", limit)]
}

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let about = "requests refused because their sender had its share, or because all was taken";
    counter("keeptrusts_webhooks.requests.refused", about)
});

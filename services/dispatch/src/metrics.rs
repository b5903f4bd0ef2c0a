//! What dispatch tells of its work, in numbers.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_outbound::FailureKind;
use keeptrusts_webhooks_telemetry::{
    Counter, Histogram, KeyValue, LONG_SECONDS, SHORT_SECONDS, counter, seconds,
};

/// What came of a request, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    Answered(u16),
    Failed(FailureKind),
    /// It could not be signed, or not be addressed.
    NotSent,
}

impl AttemptResult {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AttemptResult::Answered(100..=199) => "1xx",
            AttemptResult::Answered(200..=299) => "2xx",
            AttemptResult::Answered(300..=399) => "3xx",
            AttemptResult::Answered(400..=499) => "4xx",
            AttemptResult::Answered(_) => "5xx",
            AttemptResult::Failed(FailureKind::Timeout) => "timeout",
            AttemptResult::Failed(FailureKind::Connection) => "connection",
            AttemptResult::Failed(FailureKind::Refused(_)) => "refused",
            AttemptResult::NotSent => "not_sent",
        }
    }
}

/// A request is over.
pub(crate) fn attempted(result: AttemptResult, trigger: Trigger, duration: Duration) {
    let result_label = KeyValue::new("result", result.name());
    ATTEMPTS.add(1, &[result_label.clone(), KeyValue::new("trigger", trigger.name())]);
    ATTEMPT_DURATION.record(duration.as_secs_f64(), &[result_label]);
    if let AttemptResult::Failed(FailureKind::Refused(what)) = result {
        ADDRESSES_REFUSED.add(1, &[KeyValue::new("what", what)]);
    }
}

/// Routing has decided.
pub(crate) fn scheduled(deliveries: usize) {
    DELIVERIES_SCHEDULED.add(deliveries as u64, &[]);
}

/// The outcome of an attempt is committed, or there was nothing to attempt; `before` is the state
/// that the delivery had, and `end` when its last request was over. Tests do not count: nobody has
/// published what they deliver.
pub(crate) fn concluded(before: DeliveryState, delivery: &Delivery, end: Timestamp) {
    if delivery.state == before || delivery.event_type == EventType::Test {
        return;
    }
    let outcome = match delivery.state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
        DeliveryState::Cancelled => "cancelled",
        DeliveryState::Scheduled | DeliveryState::Retrying => return,
    };
    DELIVERIES_ENDED.add(1, &[KeyValue::new("outcome", outcome)]);
    if delivery.state == DeliveryState::Delivered {
        // An event's id has the time at which it was accepted.
        let accepted = i64::try_from(delivery.event_id.ulid().timestamp_ms()).unwrap_or(i64::MAX);
        let took = (end.as_millisecond() - accepted).max(0) as f64 / 1_000.0;
        let attempt = if delivery.attempt_count == 1 { "first" } else { "later" };
        PUBLISH_TO_DELIVERED.record(took, &[KeyValue::new("attempt", attempt)]);
    }
}

/// Deliveries that had no attempt of their own to end with.
pub(crate) fn cancelled(deliveries: usize) {
    DELIVERIES_ENDED.add(deliveries as u64, &[KeyValue::new("outcome", "cancelled")]);
}

/// A shard has come to this process, or left it.
pub(crate) fn lease_changed(change: &'static str) {
    LEASE_CHANGES.add(1, &[KeyValue::new("change", change)]);
}

static ATTEMPTS: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("keeptrusts_webhooks.attempts", "requests that are over"));

static ATTEMPT_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "one request, from connecting to the end of the answer";
    seconds("keeptrusts_webhooks.attempt.duration", about, SHORT_SECONDS)
});

static ADDRESSES_REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.addresses.refused", "requests refused for where they lead")
});

static DELIVERIES_SCHEDULED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.deliveries.scheduled", "deliveries that routing has decided")
});

static DELIVERIES_ENDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "keeptrusts_webhooks.deliveries.ended",
        "deliveries that have ended; one that failed and was then delivered by a manual retry is both",
    )
});

static PUBLISH_TO_DELIVERED: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "from the event's acceptance to the receiver's 2xx";
    seconds("keeptrusts_webhooks.publish_to_delivered", about, LONG_SECONDS)
});

static LEASE_CHANGES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.lease.changes", "shards that came to this process or left it")
});

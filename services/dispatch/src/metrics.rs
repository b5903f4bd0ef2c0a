//! Dispatch's metrics.

use std::sync::LazyLock;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Trigger;
use keeptrusts_webhooks_domain::channel::ChannelKind;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_outbound::{FailureKind, RefusedPart};
use keeptrusts_webhooks_telemetry::{
    Counter, Histogram, KeyValue, LONG_SECONDS, SHORT_SECONDS, counter, seconds,
};

/// The result of a request, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    Answered(u16),
    Failed(FailureKind),
    /// It could not be signed or addressed.
    NotSent,
}

impl AttemptResult {
    /// One result of each name.
    const EACH: [AttemptResult; 9] = [
        AttemptResult::Answered(100),
        AttemptResult::Answered(200),
        AttemptResult::Answered(300),
        AttemptResult::Answered(400),
        AttemptResult::Answered(500),
        AttemptResult::Failed(FailureKind::Timeout),
        AttemptResult::Failed(FailureKind::Connection),
        AttemptResult::Failed(FailureKind::Refused(RefusedPart::Address)),
        AttemptResult::NotSent,
    ];

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseChange {
    Taken,
    Lost,
    GivenBack,
}

/// Registers all counters with 0: `rate()` needs two values, so a counter that appears with the
/// first failure would hide it.
pub(crate) fn register() {
    for result in AttemptResult::EACH {
        for trigger in [Trigger::Automatic, Trigger::Manual, Trigger::Test] {
            ATTEMPTS.add(0, &[result_label(result), trigger_label(trigger)]);
        }
    }
    for what in [RefusedPart::Address, RefusedPart::Port, RefusedPart::Name] {
        ADDRESSES_REFUSED.add(0, &[what_label(what)]);
    }
    for outcome in [DELIVERED, FAILED, CANCELLED] {
        DELIVERIES_ENDED.add(0, &[KeyValue::new("outcome", outcome)]);
    }
    for change in [LeaseChange::Taken, LeaseChange::Lost, LeaseChange::GivenBack] {
        LEASE_CHANGES.add(0, &[change_label(change)]);
    }
    DELIVERIES_SCHEDULED.add(0, &[]);
    for kind in ChannelKind::ALL.iter().copied() {
        for what in [NotificationResult::Sent, NotificationResult::Failed] {
            NOTIFICATIONS.add(0, &[kind_label(kind), notified_label(what)]);
        }
    }
}

/// A request is over.
pub(crate) fn count_attempt(result: AttemptResult, trigger: Trigger, duration: Duration) {
    ATTEMPTS.add(1, &[result_label(result), trigger_label(trigger)]);
    ATTEMPT_DURATION.record(duration.as_secs_f64(), &[result_label(result)]);
    if let AttemptResult::Failed(FailureKind::Refused(what)) = result {
        ADDRESSES_REFUSED.add(1, &[what_label(what)]);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotificationResult {
    Sent,
    Failed,
}

/// An attempt to notify a channel. `kind` None: the channel was deleted.
pub(crate) fn count_notification(kind: Option<ChannelKind>, what: NotificationResult) {
    let Some(kind) = kind else { return };
    NOTIFICATIONS.add(1, &[kind_label(kind), notified_label(what)]);
}

fn kind_label(kind: ChannelKind) -> KeyValue {
    KeyValue::new("kind", kind.name())
}

fn notified_label(what: NotificationResult) -> KeyValue {
    let result = match what {
        NotificationResult::Sent => "sent",
        NotificationResult::Failed => "failed",
    };
    KeyValue::new("result", result)
}

/// Routing or a replay has scheduled deliveries.
pub(crate) fn count_scheduled(deliveries: usize) {
    DELIVERIES_SCHEDULED.add(deliveries as u64, &[]);
}

/// An outcome is committed. `before` is the delivery's state before it, and `end` when its last
/// request was over. Tests are not counted: nobody has published their events.
pub(crate) fn count_ended(before: DeliveryState, delivery: &Delivery, end: Timestamp) {
    if delivery.state == before || delivery.is_test {
        return;
    }
    let outcome = match delivery.state {
        DeliveryState::Delivered => DELIVERED,
        DeliveryState::Failed => FAILED,
        DeliveryState::Cancelled => CANCELLED,
        DeliveryState::Scheduled | DeliveryState::Retrying => return,
    };
    DELIVERIES_ENDED.add(1, &[KeyValue::new("outcome", outcome)]);
    if delivery.state == DeliveryState::Delivered {
        // An event's id contains the time of its acceptance.
        let accepted = i64::try_from(delivery.event_id.ulid().timestamp_ms()).unwrap_or(i64::MAX);
        let took = (end.as_millisecond() - accepted).max(0) as f64 / 1_000.0;
        let attempt = if delivery.attempt_count == 1 { "first" } else { "later" };
        PUBLISH_TO_DELIVERED.record(took, &[KeyValue::new("attempt", attempt)]);
    }
}

/// Deliveries were cancelled while they waited.
pub(crate) fn count_cancelled(deliveries: usize) {
    DELIVERIES_ENDED.add(deliveries as u64, &[KeyValue::new("outcome", CANCELLED)]);
}

/// This process took, lost or gave back a shard.
pub(crate) fn count_lease_change(change: LeaseChange) {
    LEASE_CHANGES.add(1, &[change_label(change)]);
}

const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";
const CANCELLED: &str = "cancelled";

fn result_label(result: AttemptResult) -> KeyValue {
    KeyValue::new("result", result.name())
}

fn trigger_label(trigger: Trigger) -> KeyValue {
    KeyValue::new("trigger", trigger.name())
}

fn what_label(what: RefusedPart) -> KeyValue {
    let name = match what {
        RefusedPart::Address => "address",
        RefusedPart::Port => "port",
        RefusedPart::Name => "name",
    };
    KeyValue::new("what", name)
}

fn change_label(change: LeaseChange) -> KeyValue {
    let name = match change {
        LeaseChange::Taken => "taken",
        LeaseChange::Lost => "lost",
        LeaseChange::GivenBack => "given_back",
    };
    KeyValue::new("change", name)
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
    counter(
        "keeptrusts_webhooks.deliveries.scheduled",
        "deliveries that routing or a replay has made",
    )
});

static DELIVERIES_ENDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "keeptrusts_webhooks.deliveries.ended",
        "deliveries that have ended; one that failed and was then delivered by a manual retry or a replay is both",
    )
});

static NOTIFICATIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.notifications", "tries at telling a notification channel")
});

static PUBLISH_TO_DELIVERED: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "from the event's acceptance to the receiver's 2xx";
    seconds("keeptrusts_webhooks.publish_to_delivered", about, LONG_SECONDS)
});

static LEASE_CHANGES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.lease.changes", "shards that came to this process or left it")
});

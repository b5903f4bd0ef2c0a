//! The metrics of the ingest service.

use std::sync::LazyLock;

use keeptrusts_webhooks_contracts::status::Reason;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_telemetry::{Counter, KeyValue, Value, code_name, counter};
use tonic::Status;
use tonic_types::StatusExt;

/// Creates the counters with the value 0: `rate()` needs two values, so a counter that appeared with
/// the first failure would hide it.
pub(crate) fn register() {
    for event_type in EventType::ALL {
        EVENTS_ACCEPTED.add(0, &[event_type_label(*event_type)]);
    }
    for reason in ALERTED_REASONS {
        PUBLISH_ERRORS.add(0, &[KeyValue::new("reason", reason.name())]);
    }
}

/// The reasons that alerts ask for. Other reasons are mistakes of publishers.
const ALERTED_REASONS: [Reason; 5] = [
    Reason::DatabaseUnavailable,
    Reason::Overloaded,
    Reason::ShuttingDown,
    Reason::DeadlineExceeded,
    Reason::Internal,
];

/// Counts an event that has become durable.
pub(crate) fn accepted(event_type: EventType) {
    EVENTS_ACCEPTED.add(1, &[event_type_label(event_type)]);
}

fn event_type_label(event_type: EventType) -> KeyValue {
    KeyValue::new("event_type", event_type.name())
}

/// Counts an event that was refused or has failed. Calls that the gate refuses are not among them:
/// the gRPC server counts those.
pub(crate) fn not_accepted(status: &Status) {
    match status.get_details_error_info() {
        Some(info) => count(info.reason),
        None => count(code_name(status.code())),
    }
}

/// Like [`not_accepted`], for a reason that is not a status.
pub(crate) fn not_accepted_because(reason: &'static str) {
    count(reason);
}

fn count(reason: impl Into<Value>) {
    PUBLISH_ERRORS.add(1, &[KeyValue::new("reason", reason.into())]);
}

static EVENTS_ACCEPTED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.events.accepted", "events that are durable; duplicates count once")
});

static PUBLISH_ERRORS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("keeptrusts_webhooks.publish.errors", "events that were refused or could not be kept")
});

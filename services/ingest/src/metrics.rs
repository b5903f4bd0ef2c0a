//! What ingest tells of its work, in numbers.

use std::sync::LazyLock;

use keeptrusts_webhooks_contracts::status::Reason;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_telemetry::{Counter, KeyValue, Value, code_name, counter};
use tonic::Status;
use tonic_types::StatusExt;

/// Has what is counted there before it happens, with 0: `rate()` needs two values, so that a
/// counter that appears with the first failure hides that one.
pub(crate) fn register() {
    for event_type in EventType::ALL {
        EVENTS_ACCEPTED.add(0, &[event_type_label(*event_type)]);
    }
    for reason in OUR_FAULTS {
        PUBLISH_ERRORS.add(0, &[KeyValue::new("reason", reason.name())]);
    }
}

/// The reasons that somebody is called for. There are more, of publishers' mistakes and of
/// whatever stands before us.
const OUR_FAULTS: [Reason; 5] = [
    Reason::DatabaseUnavailable,
    Reason::Overloaded,
    Reason::ShuttingDown,
    Reason::DeadlineExceeded,
    Reason::Internal,
];

/// An event is durable, and was not before.
pub(crate) fn accepted(event_type: EventType) {
    EVENTS_ACCEPTED.add(1, &[event_type_label(event_type)]);
}

fn event_type_label(event_type: EventType) -> KeyValue {
    KeyValue::new("event_type", event_type.name())
}

/// A publishing was refused, or failed. (What the gate refuses has not come here: it is among the
/// calls that the server counts.)
pub(crate) fn not_accepted(status: &Status) {
    match status.get_details_error_info() {
        Some(info) => count(info.reason),
        None => count(code_name(status.code())),
    }
}

/// The same for a reason that is no status.
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

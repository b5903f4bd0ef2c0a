//! <https://developer.pagerduty.com/docs/send-alert-event>

use std::collections::HashMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_vendors::pager_duty::MAX_EVENT_BYTES;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{object, one_of, text};

/// Not parsed: data may be nested more deeply than [`Value`] supports.
type Members<'a> = HashMap<&'a str, &'a RawValue>;

pub(crate) fn check(body: &[u8]) {
    assert!(body.len() <= MAX_EVENT_BYTES, "{} bytes", body.len());
    let alert: Members<'_> = serde_json::from_slice(body).expect("an object");
    let payload: Members<'_> = serde_json::from_str(alert["payload"].get()).expect("an object");

    let alert = all_but("payload", &alert);
    let optional = ["dedup_key", "client", "client_url", "images", "links"];
    let alert = object(&alert, &["routing_key", "event_action"], &optional);
    assert_eq!(text(&alert["routing_key"], 32).len(), 32);
    one_of(&alert["event_action"], &["trigger"]);
    text(&alert["dedup_key"], 255);
    text(&alert["client"], 255);

    assert!(payload["custom_details"].get().starts_with('{'), "custom_details is an object");
    let payload = all_but("custom_details", &payload);
    let optional = ["timestamp", "component", "group", "class"];
    let payload = object(&payload, &["summary", "source", "severity"], &optional);
    text(&payload["summary"], 1_024);
    text(&payload["source"], 1_024);
    one_of(&payload["severity"], &["critical", "error", "warning", "info"]);
    let timestamp = text(&payload["timestamp"], 40);
    timestamp.parse::<Timestamp>().expect("ISO 8601");
    assert_eq!(timestamp.len(), "2026-04-23T10:30:00Z".len(), "{timestamp}");
    for name in optional {
        text(&payload[name], 255);
    }
}

fn all_but(unread: &str, members: &Members<'_>) -> Value {
    let read = members.iter().filter(|(name, _)| **name != unread);
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).expect("JSON");
    read.map(|(name, raw)| (name.to_string(), value(raw))).collect()
}

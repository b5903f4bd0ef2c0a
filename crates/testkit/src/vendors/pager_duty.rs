//! <https://developer.pagerduty.com/docs/send-alert-event>.

use keeptrusts_webhooks_vendors::pager_duty::MAX_EVENT_BYTES;
use serde_json::Value;

use super::Violations;

/// Checks that the Events API v2 would accept the event (202).
pub fn check_pager_duty_event(body: &[u8], routing_key: &str) -> Result<(), String> {
    let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut violations = Violations::default();
    let known = [
        "routing_key",
        "event_action",
        "dedup_key",
        "payload",
        "images",
        "links",
        "client",
        "client_url",
    ];
    violations.only(&event, &known, "an event");
    violations.require(body.len() <= MAX_EVENT_BYTES, "an event has at most 512 KB");
    violations.require(event["routing_key"] == routing_key, "routing_key is the integration's");
    let actions = ["trigger", "acknowledge", "resolve"];
    let action = event["event_action"].as_str().unwrap_or_default();
    violations.require(actions.contains(&action), format!("event_action is one of {actions:?}"));
    violations.text(&event["dedup_key"], 255, "dedup_key");
    let payload = &event["payload"];
    let known = [
        "summary",
        "source",
        "severity",
        "timestamp",
        "component",
        "group",
        "class",
        "custom_details",
    ];
    violations.only(payload, &known, "payload");
    violations.text(&payload["summary"], 1_024, "payload.summary");
    violations.text(&payload["source"], 1_024, "payload.source");
    let severities = ["critical", "warning", "error", "info"];
    let severity = payload["severity"].as_str().unwrap_or_default();
    violations
        .require(severities.contains(&severity), format!("severity is one of {severities:?}"));
    // ISO 8601.
    let timestamp = payload["timestamp"].as_str().unwrap_or_default();
    violations.require(
        timestamp.len() >= 20 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
        format!("timestamp is a time, not {timestamp:?}"),
    );
    violations.require(payload["custom_details"].is_object(), "custom_details is an object");
    for link in event["links"].as_array().into_iter().flatten() {
        violations.only(link, &["href", "text"], "a link");
        let is_https = link["href"].as_str().is_some_and(|url| url.starts_with("https://"));
        violations.require(is_https, "a link's href is https");
    }
    violations.into_result()
}

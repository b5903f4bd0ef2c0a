//! <https://developer.pagerduty.com/docs/send-alert-event>.

use serde_json::Value;

use super::Faults;

/// Whether the Events API v2 would answer 202.
pub fn check_pager_duty_event(body: &[u8], routing_key: &str) -> Result<(), String> {
    let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut faults = Faults::default();
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
    faults.only(&event, &known, "an event");
    faults.demand(body.len() <= 512 * 1024, "an event has at most 512 KB");
    faults.demand(event["routing_key"] == routing_key, "routing_key is the integration's");
    let actions = ["trigger", "acknowledge", "resolve"];
    let action = event["event_action"].as_str().unwrap_or_default();
    faults.demand(actions.contains(&action), format!("event_action is one of {actions:?}"));
    faults.text(&event["dedup_key"], 255, "dedup_key");
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
    faults.only(payload, &known, "payload");
    faults.text(&payload["summary"], 1_024, "payload.summary");
    faults.text(&payload["source"], 1_024, "payload.source");
    let severities = ["critical", "warning", "error", "info"];
    let severity = payload["severity"].as_str().unwrap_or_default();
    faults.demand(severities.contains(&severity), format!("severity is one of {severities:?}"));
    // ISO 8601.
    let timestamp = payload["timestamp"].as_str().unwrap_or_default();
    faults.demand(
        timestamp.len() >= 20 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
        format!("timestamp is a time, not {timestamp:?}"),
    );
    faults.demand(payload["custom_details"].is_object(), "custom_details is an object");
    for link in event["links"].as_array().into_iter().flatten() {
        faults.only(link, &["href", "text"], "a link");
        let is_https = link["href"].as_str().is_some_and(|url| url.starts_with("https://"));
        faults.demand(is_https, "a link's href is https");
    }
    faults.into_result()
}

//! PagerDuty, Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>. The endpoint's
//! URL is `https://events.pagerduty.com/v2/enqueue`.

use keeptrusts_webhooks_domain::limits::MAX_DATA_BYTES;
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_vendors::pager_duty::{self, CLIENT, MAX_EVENT_BYTES};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::fields::Fields;
use crate::payload::Payload;
use crate::payload_event::PayloadEvent;
use crate::severity;

/// The most fields of the data in the summary, which is what a phone shows.
const SUMMARY_FIELDS: usize = 4;

/// An alert without the data is smaller. Most of it is the summary, of at most 1,024 characters that
/// JSON writes with at most 6 bytes each.
const MAX_BYTES_AROUND_DATA: usize = 16 * 1024;

/// The routing key comes first, so that its position in the body is known.
#[derive(Serialize)]
struct Alert<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    client: &'static str,
    payload: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: String,
    component: &'static str,
    group: &'static str,
    class: &'static str,
    custom_details: &'a RawValue,
}

/// A repeated attempt has the same `dedup_key`, so that it opens no second alert.
pub(crate) fn alert(event: &PayloadEvent<'_>, routing_key: &str) -> Payload {
    const { assert!(MAX_DATA_BYTES + MAX_BYTES_AROUND_DATA <= MAX_EVENT_BYTES) };
    let alert = Alert {
        routing_key,
        event_action: "trigger",
        dedup_key: event.id.to_string(),
        client: CLIENT,
        payload: Details {
            summary: summary(event),
            source: format!("webhooks.keeptrusts.com/organizations/{}", event.organization_id),
            severity: severity::of(event).name(),
            timestamp: rfc3339::seconds(event.time),
            component: "keeptrusts",
            group: event.event_type.category(),
            class: event.event_type.name(),
            custom_details: event.data,
        },
    };
    let body = serde_json::to_vec(&alert).expect("texts and JSON can be written");
    // A routing key has letters and digits only, which JSON does not escape.
    let start = br#"{"routing_key":""#.len();
    Payload::with_secret(body, start..start + routing_key.len())
}

fn summary(event: &PayloadEvent<'_>) -> String {
    let mut summary = format!("{}: {}", event.event_type, event.event_type.description());
    for (name, value) in Fields::of(event.data, SUMMARY_FIELDS).scalars {
        summary.extend([" ", &*name, "=", &*value]);
    }
    pager_duty::summary(&summary)
}

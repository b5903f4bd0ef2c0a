//! CloudEvents 1.0 in structured mode: <https://github.com/cloudevents/spec/blob/v1.0.2>, the JSON
//! event format and the HTTP binding.

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::rfc3339;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::payload_event::PayloadEvent;

/// Section 3.2.1 of the HTTP binding: the event format's media type, with the charset. In small
/// letters: the SDK for JavaScript compares it as a text.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Reversed DNS, as the specification recommends for types (section 3.1.1, `type`).
const TYPE_PREFIX: &str = "com.keeptrusts.";

/// The attributes in the order of the specification's examples.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    r#type: String,
    source: String,
    id: String,
    time: String,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// An absolute URI that is the organization's own: with the id it names an event uniquely
/// (section 3.1.1, `source`).
pub fn source(organization: &OrganizationId) -> String {
    format!("https://webhooks.keeptrusts.com/organizations/{organization}")
}

/// The event with its data as its publisher wrote it.
pub(crate) fn structured(event: &PayloadEvent<'_>) -> Vec<u8> {
    let cloud_event = CloudEvent {
        specversion: "1.0",
        r#type: format!("{TYPE_PREFIX}{}", event.event_type),
        source: source(event.organization_id),
        id: event.id.to_string(),
        time: rfc3339::microseconds(event.time),
        datacontenttype: crate::payload::JSON,
        data: event.data,
    };
    serde_json::to_vec(&cloud_event).expect("texts and JSON can be written")
}

//! CloudEvents 1.0 in structured mode: <https://github.com/cloudevents/spec/blob/v1.0.2>, the JSON
//! event format and the HTTP binding.

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::rfc3339;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::payload_event::PayloadEvent;

/// The event format's media type with the charset (section 3.2.1 of the HTTP binding). In lower
/// case, because the JavaScript SDK compares it as a string.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Reverse DNS, as the specification recommends for types (section 3.1.1, `type`).
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

/// An absolute URI for each organization: with the id it identifies an event (section 3.1.1,
/// `source`).
pub fn source(organization: &OrganizationId) -> String {
    format!("https://webhooks.keeptrusts.com/organizations/{organization}")
}

/// The data stays byte for byte as its publisher wrote it.
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

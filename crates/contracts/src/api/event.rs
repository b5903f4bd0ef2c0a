//! Events in responses.

use keeptrusts_webhooks_domain::event::Event;

use crate::time::timestamp_to_proto;
use crate::v1;

/// An event without its body, as in lists.
impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        let idempotency_key =
            event.idempotency.as_ref().map(|idempotency| idempotency.key.as_str().to_owned());
        v1::Event {
            id: event.id.to_string(),
            organization_id: event.organization_id.to_string(),
            event_type: event.event_type.name().to_owned(),
            event_time: Some(timestamp_to_proto(event.event_time)),
            create_time: Some(timestamp_to_proto(event.create_time)),
            body: String::new(),
            body_size_bytes: event.body.size.into(),
            body_sha256: event.body.sha256.to_vec(),
            idempotency_key: idempotency_key.unwrap_or_default(),
            trace_id: event.trace_id.map(|trace_id| trace_id.to_string()).unwrap_or_default(),
            publisher: event.publisher.clone(),
            test: event.is_test,
        }
    }
}

/// An event with its body, unless the body has expired. Bodies are JSON that we rendered, so UTF-8.
pub fn event_with_body(event: &Event, body: Option<&[u8]>) -> v1::Event {
    let body = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
    v1::Event { body, ..event.into() }
}

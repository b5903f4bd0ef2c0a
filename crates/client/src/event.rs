//! An event to publish.

use std::time::SystemTime;

use crate::v1;
use crate::v1::publish_event_request::Payload;

/// An event to publish, in short. What it does not say, [`v1::PublishEventRequest`] does.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Event(v1::PublishEventRequest);

impl Event {
    /// An event of an organization with its type, for example `policy.violation`, and its data: the text of
    /// a JSON object of at most 256 KiB, which receivers get byte for byte.
    pub fn new(
        organization_id: impl Into<String>,
        event_type: impl Into<String>,
        data_json: impl Into<String>,
    ) -> Event {
        Event(v1::PublishEventRequest {
            organization_id: organization_id.into(),
            event_type: event_type.into(),
            payload: Some(Payload::DataJson(data_json.into())),
            ..Default::default()
        })
    }

    /// When it happened. Otherwise it is when the server accepts it.
    pub fn event_time(mut self, time: SystemTime) -> Event {
        self.0.event_time = Some(time.into());
        self
    }

    /// Makes it safe to publish the event again, also from another process: at most 256 bytes, unique in
    /// the organization. Take what identifies the event where it comes from. Otherwise the client makes one
    /// for each call.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Event {
        self.0.idempotency_key = key.into();
        self
    }
}

impl From<Event> for v1::PublishEventRequest {
    fn from(event: Event) -> Self {
        event.0
    }
}

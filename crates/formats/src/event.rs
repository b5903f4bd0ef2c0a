//! An event, as far as receivers are told of it.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::FormatError;

/// What a payload is made of.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its id.
    pub id: EventId,
    /// Whose it is.
    pub organization_id: &'a OrganizationId,
    /// What kind.
    pub event_type: EventType,
    /// When it happened.
    pub time: Timestamp,
    /// The JSON object that its publisher gave, as its publisher wrote it.
    pub data: &'a RawValue,
}

/// The three fields of the body that was rendered when the event was accepted.
#[derive(Deserialize)]
struct Body<'a> {
    timestamp: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> Event<'a> {
    /// The event of which `body` was rendered.
    pub fn of_body(
        id: EventId,
        organization_id: &'a OrganizationId,
        event_type: EventType,
        body: &'a [u8],
    ) -> Result<Event<'a>, FormatError> {
        let unreadable = |reason: String| FormatError::Body { reason };
        let Body { timestamp, data } =
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        let time = timestamp.parse().map_err(|_| unreadable("its timestamp is none".to_owned()))?;
        Ok(Event { id, organization_id, event_type, time, data })
    }
}

//! The input of every payload format.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::FormatError;

/// The parts of an event that a payload is made of.
#[derive(Debug, Clone, Copy)]
pub struct PayloadEvent<'a> {
    pub id: EventId,
    pub organization_id: &'a OrganizationId,
    pub event_type: EventType,
    /// Payloads have whole seconds, as our own body has, except CloudEvents' `time`, which has
    /// microseconds.
    pub time: Timestamp,
    /// A JSON object, byte for byte as its publisher wrote it.
    pub data: &'a RawValue,
}

/// Two of the three fields of the body that was rendered when the event was accepted.
#[derive(Deserialize)]
struct Body<'a> {
    timestamp: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> PayloadEvent<'a> {
    /// Reads the event's data back from its stored body. `time` is `None` for bodies of versions that
    /// stored the exact time in the body.
    pub fn from_body(
        id: EventId,
        organization_id: &'a OrganizationId,
        event_type: EventType,
        time: Option<Timestamp>,
        body: &'a [u8],
    ) -> Result<PayloadEvent<'a>, FormatError> {
        let unreadable = |reason: String| FormatError::Body { reason };
        let Body { timestamp, data } =
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        let time = time.map_or_else(|| timestamp.parse(), Ok);
        let time = time.map_err(|_| unreadable("its timestamp is none".to_owned()))?;
        Ok(PayloadEvent { id, organization_id, event_type, time, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_records_or_else_the_bodys() {
        let acme: OrganizationId = "acme".parse().expect("an id");
        let time = |record: Option<&str>, timestamp: &str| {
            let body =
                format!(r#"{{"event":"policy.block","timestamp":"{timestamp}","data":{{}}}}"#);
            let record = record.map(|text| text.parse().expect("a timestamp"));
            let event = PayloadEvent::from_body(
                EventId::MIN,
                &acme,
                EventType::PolicyBlock,
                record,
                body.as_bytes(),
            );
            event.expect("a body").time.to_string()
        };
        let exact = "2026-04-23T10:30:00.123456Z";
        assert_eq!(time(Some(exact), "2026-04-23T10:30:00Z"), exact);
        // Bodies of before had all the digits.
        assert_eq!(time(None, exact), exact);
    }
}

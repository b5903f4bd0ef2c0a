//! The body of an event in our own format: `{"event":…,"timestamp":…,"data":{…}}`, rendered once.
//!
//! Decision: docs/decisions/bodies-have-whole-seconds.md

use crate::Timestamp;
use crate::event_type::EventType;
use crate::json;
use crate::limits::MAX_DATA_BYTES;
use crate::rfc3339;
use crate::violation::Violation;

/// An event's `data`: the text of a JSON object, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventData(String);

impl EventData {
    /// Checks that `json` is one JSON object of at most 256 KiB that [`json::read`] accepts. White
    /// space around the object is dropped; everything inside stays as it is. A violation names
    /// `field`.
    pub fn new(field: &str, json: &str) -> Result<EventData, Violation> {
        if json.len() > MAX_DATA_BYTES {
            let description = format!(
                "is {} bytes; it may be at most {MAX_DATA_BYTES}: publish a reference to bulky content instead",
                json.len()
            );
            return Err(Violation::too_long(field, description));
        }
        let value = json::read(json, |text, _: json::Json<'_, &str>| text)
            .map_err(|error| Violation::invalid_format(field, error.to_string()))?;
        if !value.starts_with('{') {
            return Err(Violation::invalid_format(
                field,
                "must be a JSON object, for example {\"id\":1}",
            ));
        }
        Ok(EventData(value.to_owned()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Renders the exact bytes of the request's body: three fields in this order, without white space
/// between them. `timestamp` has whole seconds; the exact time goes into a header.
pub fn render(event_type: EventType, event_time: Timestamp, data: &EventData) -> Vec<u8> {
    render_checked(event_type, event_time, data.as_str())
}

/// Renders the same body from `data` that was checked before: one JSON object.
pub fn render_checked(event_type: EventType, event_time: Timestamp, data: &str) -> Vec<u8> {
    let timestamp = rfc3339::seconds(event_time);
    // Neither a type's name nor a timestamp has a character that JSON would escape.
    format!(r#"{{"event":"{event_type}","timestamp":"{timestamp}","data":{data}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn a_body_has_exactly_the_three_documented_fields() {
        for exact in
            ["2026-04-23T10:30:00Z", "2026-04-23T10:30:00.5Z", "2026-04-23T10:30:00.123456Z"]
        {
            let data = EventData::new("data_json", r#"{"seat":1}"#).expect("an object");
            let body = render(EventType::KeyRevoked, time(exact), &data);
            assert_eq!(
                String::from_utf8(body).expect("UTF-8"),
                r#"{"event":"key.revoked","timestamp":"2026-04-23T10:30:00Z","data":{"seat":1}}"#
            );
        }
    }

    #[test]
    fn data_given_as_text_is_kept_byte_for_byte() {
        let json = r#"{"n":1.10e+2, "big":12345678901234567890123,  "b":1,"a":"\u00e9é", "A":-0}"#;
        let data = EventData::new("data_json", &format!(" \n{json}\t")).expect("an object");
        assert_eq!(data.as_str(), json);
    }

    #[test]
    fn data_that_is_not_an_object_of_at_most_256_kib_is_refused() {
        let wrong = ["", "[]", "null", "\"{}\"", "{", "{} {}", "{'a':1}"];
        // Some receivers would not read these, or would read them differently.
        let unclear = [r#"{"a":1,"a":2}"#, r#"{"a":"\ud800"}"#, "\u{feff}{}", "{\"a\":\"\u{0}\"}"];
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        for wrong in wrong.into_iter().chain(unclear).chain([&*deep]) {
            let violation = EventData::new("data_json", wrong).expect_err(wrong);
            assert_eq!(violation.field, "data_json");
        }
        let object_of = |size: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(size - 8));
        assert!(EventData::new("data_json", &object_of(MAX_DATA_BYTES)).is_ok());
        assert!(EventData::new("data_json", &object_of(MAX_DATA_BYTES + 1)).is_err());
    }
}

//! What a customer sets of an endpoint, and the rules of its fields.

use crate::config::config;
use crate::event_type::EventType;
use crate::limits::{MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS};
use crate::payload_format::PayloadFormat;
use crate::text::{check_length, check_line, check_text};
use crate::violation::{EntryViolations, Violation};

config! {
    /// What a customer sets of an endpoint, checked. The secret is not part of it.
    EndpointConfig,
    /// New values of an endpoint's configuration. None: the field stays.
    EndpointPatch,
    with_payload_format: F = PayloadFormat,
    {
        /// A label for people.
        display_name: String,
        /// The URL that deliveries go to.
        url: String,
        /// Notes for people; may be empty.
        description: String,
        /// The types of events that are delivered. Sorted, not empty.
        event_types: Vec<EventType>,
        /// The format of the bodies that the receiver gets. The routing key of the [`PayloadFormat`]
        /// is sealed in facts and tables, in clear in requests, and absent where the format is shown.
        /// In the patch of a request it is a [`PayloadPatch`](crate::payload_format::PayloadPatch).
        payload_format: @F,
    }
}

/// Checks a name: 1 to 100 characters, none of them invisible. White space around it counts, and is
/// dropped.
pub fn check_display_name(field: &str, name: String) -> Result<String, Violation> {
    let name = check_length(field, name, MAX_NAME_CHARS)?.trim().to_owned();
    if name.is_empty() {
        return Err(Violation::required(field, "is required: a label such as siem-all-events"));
    }
    check_line(field, &name)?;
    Ok(name)
}

/// Checks a description: at most 1,000 characters.
pub fn check_description(field: &str, description: String) -> Result<String, Violation> {
    check_text(field, description, MAX_DESCRIPTION_CHARS)
}

/// Checks the event types that an endpoint subscribes to: at least one, and all of them known. Returns
/// them sorted and without repetitions.
pub fn check_event_types(field: &str, names: &[String]) -> Result<Vec<EventType>, Vec<Violation>> {
    if names.is_empty() {
        let description = "is required: subscribe to at least one event type (see ListEventTypes)";
        return Err(vec![Violation::required(field, description)]);
    }
    let mut event_types = Vec::new();
    let mut wrong = EntryViolations::of(field);
    for (index, name) in names.iter().enumerate() {
        match name.parse() {
            Ok(EventType::Test) => wrong.push(index, |entry| {
                let description =
                    "webhook.test cannot be subscribed to: every endpoint can be sent a test";
                Violation::not_allowed(entry, description)
            }),
            Ok(event_type) => event_types.push(event_type),
            Err(_) => wrong.push(index, |entry| {
                let description = format!("{name:?} is not an event type (see ListEventTypes)");
                Violation::unknown_value(entry, description)
            }),
        }
    }
    event_types.sort();
    event_types.dedup();
    wrong.into_result(event_types)
}

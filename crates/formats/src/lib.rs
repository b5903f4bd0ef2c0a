//! The forms in which receivers can have their events: our own body, Slack, Microsoft Teams,
//! PagerDuty, CloudEvents, and whatever a template makes of it.
//!
//! Everything here is a pure function of the event and of the endpoint's format: there is no
//! clock and no attempt's number in it, so that every attempt sends the same bytes for as long as
//! the format is the same. No I/O and no async; may depend on the domain, on what vendors accept,
//! and on what reads and writes JSON and templates.
//!
//! Decision: docs/decisions/a-payload-is-a-function-of-event-and-format.md
#![deny(missing_docs)]

mod cloudevents;
mod custom;
mod event;
mod fields;
mod pagerduty;
mod payload;
mod samples;
mod severity;
mod slack;
mod teams;

pub use cloudevents::{CONTENT_TYPE as CLOUDEVENTS_CONTENT_TYPE, source as cloudevents_source};
pub use custom::{Interrupt, MAX_CUSTOM_BODY_BYTES, MAX_NESTING, MAX_STEPS};
pub use event::Event;
pub use payload::{Formatter, Payload};
pub use samples::{sample_data, sample_event};

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

/// Why there is no payload. The text says what to do, and may be shown to the endpoint's owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The template cannot be compiled, or does not get to its end.
    #[error("the template fails in line {line}: {reason}")]
    Template {
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// What the template makes is not JSON as receivers agree on it: what publishing an event
    /// refuses ([`keeptrusts_webhooks_domain::json`]), or more than
    /// [`keeptrusts_webhooks_domain::limits::MAX_PAYLOAD_DEPTH`] levels.
    #[error("what the template makes {reason}")]
    NotJson {
        /// What is wrong, where in the result, and what is before it.
        reason: String,
    },
    /// What the template makes is too large.
    #[error("the template makes more than {limit} bytes: leave something out")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The event's data cannot be read by a template: it was accepted by a version that was less
    /// strict than [`keeptrusts_webhooks_domain::json`].
    #[error("the event's data cannot be given to a template: {reason}")]
    Data {
        /// Why.
        reason: String,
    },
    /// The event's stored body is not one of ours.
    #[error("the event's body cannot be read: {reason}")]
    Body {
        /// Why.
        reason: String,
    },
    /// The rendering was interrupted.
    #[error("the template was interrupted")]
    Interrupted,
    /// PagerDuty is sent nothing without a key.
    #[error("the endpoint has no PagerDuty routing key: set one")]
    NoRoutingKey,
}

/// Whether an endpoint with these subscriptions can be sent its events in this format: only a
/// template can fail. It is tried with a sample of each type, of the test, and with an event
/// without any data, since no field of an event is certain. In the order of `event_types`, what
/// is wrong. It renders a template twice for each type.
pub fn check<K>(
    format: &PayloadFormat<K>,
    organization: &OrganizationId,
    event_types: &[EventType],
    interrupt: &Interrupt,
) -> Result<(), String> {
    let PayloadFormat::Custom { template } = format else { return Ok(()) };
    let formatter = custom::CustomTemplate::compile(template).map_err(|error| error.to_string())?;
    for event_type in event_types.iter().copied().chain([EventType::Test]) {
        let event = samples::sample_event(organization, event_type);
        let tried = formatter.render(&event, interrupt);
        tried.map_err(|error| format!("{error}, with the sample of {event_type}"))?;
        let bare = Event { data: samples::no_data(), ..event };
        formatter.render(&bare, interrupt).map_err(|error| {
            format!(
                "{error}, with a {event_type} whose data is empty: give what may be missing a value, as in {{{{ data.count|default(0) }}}}"
            )
        })?;
    }
    Ok(())
}

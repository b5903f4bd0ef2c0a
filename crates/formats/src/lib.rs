//! The payload formats: our own body, Slack, Microsoft Teams, PagerDuty, CloudEvents, and custom
//! templates.
//!
//! A payload is a pure function of the event and the endpoint's format, without a clock or an
//! attempt's number, so that every attempt sends the same bytes while the format stays the same. No
//! I/O and no async. May depend on the domain, on vendors, and on what reads and writes JSON and
//! templates.
//!
//! Decision: docs/decisions/a-payload-is-a-function-of-event-and-format.md

mod check;
mod cloudevents;
mod custom;
mod error;
mod fields;
mod formatter;
mod pagerduty;
mod payload;
mod payload_event;
mod samples;
mod severity;
mod slack;
mod teams;

pub use check::check;
pub use cloudevents::{CONTENT_TYPE as CLOUDEVENTS_CONTENT_TYPE, source as cloudevents_source};
pub use custom::{Interrupt, MAX_CUSTOM_BODY_BYTES, MAX_NESTING, MAX_STEPS};
pub use error::FormatError;
pub use formatter::Formatter;
pub use payload::Payload;
pub use payload_event::PayloadEvent;
pub use samples::{sample_data, sample_event};

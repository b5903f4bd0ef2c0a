//! From an event to what is sent.

use std::ops::Range;

use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, RoutingKey};

use crate::custom::{CustomTemplate, Interrupt};
use crate::event::Event;
use crate::{FormatError, cloudevents, pagerduty, slack, teams};

/// What a receiver is sent, and how it is announced.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The value of Content-Type.
    pub content_type: &'static str,
    /// The bytes, which are the ones to be signed.
    pub body: Vec<u8>,
    /// Where in them a secret is.
    secret: Option<Range<usize>>,
}

/// The content type of plain JSON.
pub(crate) const JSON: &str = "application/json";

impl Payload {
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Payload {
        Payload { content_type, body, secret: None }
    }

    pub(crate) fn with_secret(body: Vec<u8>, secret: Range<usize>) -> Payload {
        Payload { content_type: JSON, body, secret: Some(secret) }
    }

    /// The bytes as they may be kept and shown: asterisks stand where a secret is.
    pub fn masked(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        if let Some(secret) = self.secret.clone() {
            body[secret].fill(b'*');
        }
        body
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.content_type, self.body.len())
    }
}

/// A format, ready for use: a template in it is compiled.
#[derive(Debug)]
pub enum Formatter {
    /// The event's own body is sent, as it is: there is nothing to render.
    Keeptrusts,
    /// A message for Slack.
    Slack,
    /// A card for Teams.
    Teams,
    /// An alert for PagerDuty.
    PagerDuty,
    /// A CloudEvent.
    CloudEvents,
    /// What a template makes.
    Custom(Box<CustomTemplate>),
}

impl Formatter {
    /// Prepares a format. Only a template can fail.
    pub fn compile<K>(format: &PayloadFormat<K>) -> Result<Formatter, FormatError> {
        Ok(match format {
            PayloadFormat::Keeptrusts => Formatter::Keeptrusts,
            PayloadFormat::Slack => Formatter::Slack,
            PayloadFormat::Teams => Formatter::Teams,
            PayloadFormat::PagerDuty { .. } => Formatter::PagerDuty,
            PayloadFormat::CloudEvents => Formatter::CloudEvents,
            PayloadFormat::Custom { template } => {
                Formatter::Custom(Box::new(CustomTemplate::compile(template)?))
            }
        })
    }

    /// What is sent of an event. PagerDuty needs the endpoint's routing key, nobody else does.
    /// Nothing but a template is interrupted, and nothing but a template fails if there is a key.
    pub fn render(
        &self,
        event: &Event<'_>,
        routing_key: Option<&RoutingKey>,
        interrupt: &Interrupt,
    ) -> Result<Payload, FormatError> {
        Ok(match self {
            Formatter::Keeptrusts => Payload::new(JSON, own_body(event)),
            Formatter::Slack => Payload::new(JSON, slack::message(event)),
            Formatter::Teams => Payload::new(JSON, teams::message(event)),
            Formatter::PagerDuty => {
                let key = routing_key.ok_or(FormatError::NoRoutingKey)?;
                pagerduty::alert(event, key.secret().expose())
            }
            Formatter::CloudEvents => {
                Payload::new(cloudevents::CONTENT_TYPE, cloudevents::structured(event))
            }
            Formatter::Custom(template) => Payload::new(JSON, template.render(event, interrupt)?),
        })
    }
}

/// Only for previews: deliveries send the bytes that are stored.
fn own_body(event: &Event<'_>) -> Vec<u8> {
    body::own_format(event.event_type, event.time, event.data.get())
}

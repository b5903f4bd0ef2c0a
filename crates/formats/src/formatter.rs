//! Renders an event in the format of an endpoint.

use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, RoutingKey};

use crate::custom::{CustomTemplate, Interrupt};
use crate::error::FormatError;
use crate::payload::{JSON, Payload};
use crate::payload_event::PayloadEvent;
use crate::{cloudevents, pagerduty, slack, teams};

/// A format that is ready for use: a template in it has been checked.
#[derive(Debug)]
pub enum Formatter {
    /// The event's stored body is sent unchanged: there is nothing to render.
    Keeptrusts,
    Slack,
    Teams,
    PagerDuty,
    CloudEvents,
    Custom(Box<CustomTemplate>),
}

impl Formatter {
    /// Only a template can fail.
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

    /// PagerDuty needs the endpoint's routing key, no other format does. Only a template can be
    /// interrupted, and with a key only a template can fail.
    pub fn render(
        &self,
        event: &PayloadEvent<'_>,
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

/// Only for previews: deliveries send the stored bytes.
fn own_body(event: &PayloadEvent<'_>) -> Vec<u8> {
    body::render_checked(event.event_type, event.time, event.data.get())
}

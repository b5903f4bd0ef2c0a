//! The body that an attempt sends: the event in the endpoint's format.
//!
//! Decision: docs/decisions/a-payload-is-a-function-of-event-and-format.md

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::HttpExchange;
use keeptrusts_webhooks_domain::delivery::{Delivery, RequestResult};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, RoutingKey};
use keeptrusts_webhooks_formats::{FormatError, Formatter, Interrupt, Payload, PayloadEvent};
use keeptrusts_webhooks_rendering::Renderer;
use keeptrusts_webhooks_store::vault::keyring::{DataKeys, KeyProblem, SecretOwner};

use super::delivery_target::DeliveryTarget;

/// A body that is ready to be signed and sent.
pub(crate) struct RequestBody {
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
    /// When the event happened.
    pub(crate) event_time: Timestamp,
    /// The body for the attempt's record, with the secret masked. None: it is the event's own body.
    kept: Option<Vec<u8>>,
    routing_key: Option<RoutingKey>,
}

impl RequestBody {
    /// Renders an event for its receiver. Our own format is the event's bytes as they are, and
    /// vendors' formats are rendered at once; only a template waits for its turn at the renderer.
    /// An error is a text for the delivery log, with what to do about it: nothing can be sent.
    pub(crate) async fn of(
        target: &Arc<DeliveryTarget>,
        delivery: &Delivery,
        body: Bytes,
        keys: &DataKeys,
        renderer: &Renderer,
    ) -> Result<RequestBody, String> {
        let rendered = match &target.endpoint.config.payload_format {
            PayloadFormat::Keeptrusts => {
                let event_time = match delivery.event_time {
                    Some(time) => time,
                    None => {
                        let input = RenderInput::of(delivery, body.clone());
                        input.event().map_err(|error| cannot_format(&error))?.time
                    }
                };
                let content_type = HeaderValue::from_static("application/json");
                let (kept, routing_key) = (None, None);
                return Ok(RequestBody { content_type, body, event_time, kept, routing_key });
            }
            PayloadFormat::Custom { .. } => {
                let input = RenderInput::of(delivery, body);
                let target = Arc::clone(target);
                let render =
                    move |interrupt: &Interrupt| input.render(target.formatter()?, None, interrupt);
                let rendered = renderer.run(&delivery.organization_id, render).await;
                rendered.map_err(|error| cannot_format(&error))?.map(|rendered| (rendered, None))
            }
            PayloadFormat::Slack
            | PayloadFormat::Teams
            | PayloadFormat::PagerDuty { .. }
            | PayloadFormat::CloudEvents => {
                let key = routing_key(target, keys)?;
                let input = RenderInput::of(delivery, body);
                let formatter = target.formatter().map_err(|error| cannot_format(&error))?;
                let rendered = input.render(formatter, key.as_ref(), &Interrupt::default());
                rendered.map(|rendered| (rendered, key))
            }
        };
        let ((event_time, payload), routing_key) =
            rendered.map_err(|error| cannot_format(&error))?;
        Ok(RequestBody {
            content_type: HeaderValue::from_static(payload.content_type),
            kept: Some(payload.masked()),
            body: payload.body.into(),
            event_time,
            routing_key,
        })
    }

    /// Completes the attempt's record: adds the body if it was not the event's own, and masks the
    /// routing key, which some receivers echo.
    pub(crate) fn mask(self, exchange: &mut HttpExchange, request_result: &mut RequestResult) {
        exchange.request_body = self.kept;
        if let Some(key) = self.routing_key {
            let key = key.secret().expose();
            mask(&mut exchange.response_body, key.as_bytes());
            let headers = exchange.response_headers.iter_mut();
            headers.for_each(|(_, value)| mask(value, key.as_bytes()));
            // It contains the target of a redirect.
            if let RequestResult::Failed { error, .. } = request_result {
                *error = error.replace(key, &"*".repeat(key.len()));
            }
        }
    }
}

/// What rendering needs of a delivery.
struct RenderInput {
    event_id: EventId,
    organization_id: OrganizationId,
    event_type: EventType,
    event_time: Option<Timestamp>,
    body: Bytes,
}

impl RenderInput {
    fn of(delivery: &Delivery, body: Bytes) -> RenderInput {
        RenderInput {
            event_id: delivery.event_id,
            organization_id: delivery.organization_id.clone(),
            event_type: delivery.event_type,
            event_time: delivery.event_time,
            body,
        }
    }

    fn event(&self) -> Result<PayloadEvent<'_>, FormatError> {
        let RenderInput { event_id, organization_id, event_type, event_time, body } = self;
        PayloadEvent::from_body(*event_id, organization_id, *event_type, *event_time, body)
    }

    /// When the event happened, and the payload.
    fn render(
        &self,
        formatter: &Formatter,
        routing_key: Option<&RoutingKey>,
        interrupt: &Interrupt,
    ) -> Result<(Timestamp, Payload), FormatError> {
        let event = self.event()?;
        Ok((event.time, formatter.render(&event, routing_key, interrupt)?))
    }
}

/// Replaces every occurrence of the key by asterisks.
fn mask(bytes: &mut [u8], key: &[u8]) {
    let mut rest = bytes;
    while let Some(start) = rest.windows(key.len()).position(|window| window == key) {
        let (masked, after) = rest[start..].split_at_mut(key.len());
        masked.fill(b'*');
        rest = after;
    }
}

fn cannot_format(error: &dyn std::error::Error) -> String {
    format!("nothing was sent, because the payload cannot be made: {error}")
}

fn routing_key(target: &DeliveryTarget, keys: &DataKeys) -> Result<Option<RoutingKey>, String> {
    let endpoint = &target.endpoint;
    let Some(sealed) = endpoint.config.payload_format.routing_key() else { return Ok(None) };
    match keys.open(&endpoint.organization_id, SecretOwner::RoutingKey(endpoint.id), sealed) {
        Ok(secret) => Ok(Some(RoutingKey::opened(secret))),
        Err(problem) => {
            if !matches!(problem, KeyProblem::Erased { .. }) {
                tracing::error!(endpoint_id = %endpoint.id, error = %problem, "cannot open its routing key");
            }
            Err("the endpoint's PagerDuty routing key cannot be decrypted: set a new one"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_echoed_is_masked_wherever_it_stands() {
        let key = "0123456789abcdef0123456789abcdef";
        let mut bytes = format!("{key}{key}, {key}0 or {}", &key[..31]).into_bytes();
        mask(&mut bytes, key.as_bytes());
        let stars = "*".repeat(32);
        assert_eq!(
            String::from_utf8(bytes).expect("UTF-8"),
            format!("{stars}{stars}, {stars}0 or {}", &key[..31])
        );
    }
}

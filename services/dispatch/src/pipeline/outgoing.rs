//! What an attempt sends: the event in the form in which the endpoint wants it.

use bytes::Bytes;
use http::HeaderValue;
use keeptrusts_webhooks_domain::attempt::Exchange;
use keeptrusts_webhooks_domain::delivery::{Delivery, Verdict};
use keeptrusts_webhooks_domain::payload_format::RoutingKey;
use keeptrusts_webhooks_formats::{Event, Formatter};
use keeptrusts_webhooks_store::keyring::{DataKeys, KeyProblem, SecretOwner};

use super::receiver::Receiver;

/// A body that is ready to be signed and sent.
pub(crate) struct Outgoing {
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
    /// What the attempt's record has of it, with the secret masked, if it is not the event's own body.
    kept: Option<Vec<u8>>,
    routing_key: Option<RoutingKey>,
}

impl Outgoing {
    /// Renders an event for its receiver. Our own format is the event's bytes as they are. An
    /// error is for the delivery log: nothing can be sent, and what to do about it.
    pub(crate) fn of(
        receiver: &Receiver,
        delivery: &Delivery,
        body: Bytes,
        keys: &DataKeys,
    ) -> Result<Outgoing, String> {
        let formatter = receiver.formatter().map_err(|error| cannot_format(&error))?;
        if let Formatter::Keeptrusts = formatter {
            let content_type = HeaderValue::from_static("application/json");
            return Ok(Outgoing { content_type, body, kept: None, routing_key: None });
        }
        let routing_key = routing_key(receiver, keys)?;
        let Delivery { event_id, organization_id, event_type, .. } = delivery;
        let payload = Event::of_body(*event_id, organization_id, *event_type, &body)
            .and_then(|event| formatter.render(&event, routing_key.as_ref()))
            .map_err(|error| cannot_format(&error))?;
        Ok(Outgoing {
            content_type: HeaderValue::from_static(payload.content_type),
            kept: Some(payload.masked()),
            body: payload.body.into(),
            routing_key,
        })
    }

    /// Completes the record of the attempt: with what was sent, if it was not the event's own body,
    /// and without the routing key, which some receivers echo.
    pub(crate) fn mask(self, exchange: &mut Exchange, verdict: &mut Verdict) {
        exchange.request_body = self.kept;
        if let Some(key) = self.routing_key {
            let key = key.secret().expose();
            mask(&mut exchange.response_body, key.as_bytes());
            let headers = exchange.response_headers.iter_mut();
            headers.for_each(|(_, value)| mask(value, key.as_bytes()));
            // It tells where a redirect leads.
            if let Verdict::Failed { error, .. } = verdict {
                *error = error.replace(key, &"*".repeat(key.len()));
            }
        }
    }
}

/// Puts asterisks wherever the key stands.
fn mask(bytes: &mut [u8], key: &[u8]) {
    let mut rest = bytes;
    while let Some(found) = rest.windows(key.len()).position(|window| window == key) {
        let (masked, after) = rest[found..].split_at_mut(key.len());
        masked.fill(b'*');
        rest = after;
    }
}

fn cannot_format(error: &keeptrusts_webhooks_formats::FormatError) -> String {
    format!("nothing was sent, because the payload cannot be made: {error}")
}

fn routing_key(receiver: &Receiver, keys: &DataKeys) -> Result<Option<RoutingKey>, String> {
    let endpoint = &receiver.endpoint;
    let Some(sealed) = endpoint.payload_format.routing_key() else { return Ok(None) };
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

//! The headers of an attempt's request, as docs/receiving.md lists them. Pure.

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::retry_after::RetryAfter;
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use keeptrusts_webhooks_domain::trace::TraceContext;

use super::delivery_target::Secrets;
use super::request_body::RequestBody;

pub(crate) const AGENT: &str = concat!("Keeptrusts-Webhooks/", env!("CARGO_PKG_VERSION"));

/// The headers of one attempt. The body is signed at `now` with the current secret and, during a
/// rotation's overlap, with the previous one.
pub(crate) fn headers(
    delivery: &Delivery,
    number: u32,
    request_body: &RequestBody,
    secrets: &Secrets,
    trace: Option<&TraceContext>,
    now: Timestamp,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let body = &request_body.body[..];
    headers.insert(CONTENT_TYPE, request_body.content_type.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let mut put = |name: &'static str, value: String| {
        // Ids, digits, hex and base64 are always valid in a header.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let Secrets { current, previous } = secrets;
    put("x-keeptrusts-signature", keeptrusts_signature(current, body));
    if let Some(previous) = previous {
        put("x-keeptrusts-signature-previous", keeptrusts_signature(previous, body));
    }
    put("x-keeptrusts-event", delivery.event_type.to_string());
    put("x-keeptrusts-event-time", rfc3339::microseconds(request_body.event_time));
    put("x-keeptrusts-delivery", delivery.id.to_string());
    put("x-keeptrusts-attempt", number.to_string());

    // Standard Webhooks 1.0: the signatures with all valid secrets, separated by spaces.
    let timestamp = now.as_second();
    let sign = |secret: &Secret| standard_signature(secret, delivery.event_id, timestamp, body);
    let signatures = match previous {
        Some(previous) => format!("{} {}", sign(current), sign(previous)),
        None => sign(current),
    };
    put("webhook-id", delivery.event_id.to_string());
    put("webhook-timestamp", timestamp.to_string());
    put("webhook-signature", signatures);
    // Without `tracestate`, which concerns tracing systems that the receiver has no part in.
    if let Some(trace) = trace {
        put("traceparent", trace.to_string());
    }
    headers
}

/// How long a response that arrived at `now` asks us to wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> RetryAfter {
    let fields = headers.get_all(RETRY_AFTER).iter().map(HeaderValue::as_bytes);
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    RetryAfter::of(fields, date, now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn retry_after_is_read_from_the_fields_of_an_answer() {
        let now = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let asked = |fields: &[(HeaderName, &'static [u8])]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
            }
            retry_after(&headers, now).wait
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[(RETRY_AFTER, b"120")]), seconds(120));
        assert_eq!(asked(&[(RETRY_AFTER, b"9999999999")]), seconds(9_999_999_999));
        assert_eq!(asked(&[(RETRY_AFTER, b"5"), (RETRY_AFTER, b"20")]), seconds(20));
        assert_eq!(asked(&[(RETRY_AFTER, b"\xff5"), (RETRY_AFTER, b"20")]), seconds(20));
        let date = b"Thursday, 23-Apr-26 10:31:00 GMT";
        assert_eq!(asked(&[(RETRY_AFTER, date)]), seconds(60), "by our clock");
        let own = (DATE, &b"Thu, 23 Apr 2026 10:30:50 GMT"[..]);
        assert_eq!(asked(&[own, (RETRY_AFTER, date)]), seconds(10), "by the answer's own date");
    }
}

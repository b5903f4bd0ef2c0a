//! The request of an attempt: DESIGN's table of what the receiver gets. Pure.

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::rfc3339;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use keeptrusts_webhooks_domain::trace::TraceContext;

use super::outgoing::Outgoing;
use super::receiver::Secrets;

pub(crate) const AGENT: &str = concat!("Keeptrusts-Webhooks/", env!("CARGO_PKG_VERSION"));

/// The headers of one attempt, whose body is signed at `now` with the current secret and, during
/// a rotation's overlap, with the previous one.
pub(crate) fn headers(
    delivery: &Delivery,
    number: u32,
    outgoing: &Outgoing,
    secrets: &Secrets,
    trace: Option<&TraceContext>,
    now: Timestamp,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let body = &outgoing.body[..];
    headers.insert(CONTENT_TYPE, outgoing.content_type.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let mut put = |name: &'static str, value: String| {
        // Ids, digits, hex and base64: always fit for a header.
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
    put("x-keeptrusts-event-time", rfc3339::microseconds(outgoing.event_time));
    put("x-keeptrusts-delivery", delivery.id.to_string());
    put("x-keeptrusts-attempt", number.to_string());

    // Standard Webhooks 1.0: all valid secrets' signatures, separated by spaces.
    let timestamp = now.as_second();
    let sign = |secret: &Secret| standard_signature(secret, delivery.event_id, timestamp, body);
    let signatures = match previous {
        Some(previous) => format!("{} {}", sign(current), sign(previous)),
        None => sign(current),
    };
    put("webhook-id", delivery.event_id.to_string());
    put("webhook-timestamp", timestamp.to_string());
    put("webhook-signature", signatures);
    // Not its `tracestate`, which is a matter of tracing systems that the receiver has no part in.
    if let Some(trace) = trace {
        put("traceparent", trace.to_string());
    }
    headers
}

/// How long an answer asks to be left alone (RFC 9110 section 10.2.3): seconds, or a date in
/// the one form that senders must generate (section 5.6.7).
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<std::time::Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(std::time::Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    std::time::Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(value: &str) -> Option<Duration> {
        let now = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, value.parse().expect("a value"));
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Thu, 23 Apr 2026 10:31:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(asked("Thu, 23 Apr 2026 10:29:00 GMT"), None, "already over");
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }
}

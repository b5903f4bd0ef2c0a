//! Deliveries and attempts in responses.

use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptOutcome, HttpExchange, Trigger};
use keeptrusts_webhooks_domain::content_encoding::ContentEncoding;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::plural::pluralize;

use crate::time::{duration_to_proto, timestamp_to_proto};
use crate::v1;

impl v1::Delivery {
    /// A delivery without its attempts, as in lists. Its endpoint is part of its state.
    pub fn of(delivery: &Delivery, state: EffectiveDeliveryState) -> Self {
        let trace_id = delivery.trace.as_ref().map(|trace| trace.trace_id.to_string());
        let reason = || delivery.end_reason.clone();
        let (cancel_reason, failure_reason) = match delivery.state {
            DeliveryState::Failed => (String::new(), reason()),
            _ => (reason(), String::new()),
        };
        v1::Delivery {
            id: delivery.id.to_string(),
            organization_id: delivery.organization_id.to_string(),
            event_id: delivery.event_id.to_string(),
            event_type: delivery.event_type.name().to_owned(),
            endpoint_id: delivery.endpoint_id.to_string(),
            state: v1::delivery::State::from(state).into(),
            attempt_count: count(delivery.attempt_count),
            next_attempt_time: delivery.expected_attempt_time().map(timestamp_to_proto),
            trace_id: trace_id.unwrap_or_default(),
            create_time: Some(timestamp_to_proto(delivery.create_time)),
            attempts: Vec::new(),
            cancel_reason,
            failure_reason,
            test: delivery.is_test,
        }
    }
}

/// An attempt without headers and bodies, as in lists.
impl From<&Attempt> for v1::Attempt {
    fn from(attempt: &Attempt) -> Self {
        let details = &attempt.details;
        v1::Attempt {
            id: details.id.to_string(),
            delivery_id: attempt.delivery_id.to_string(),
            event_id: details.event_id.to_string(),
            event_type: details.event_type.name().to_owned(),
            endpoint_id: details.endpoint_id.to_string(),
            number: count(details.number),
            trigger: v1::attempt::Trigger::from(details.trigger).into(),
            start_time: Some(timestamp_to_proto(details.start_time)),
            duration: Some(duration_to_proto(details.duration)),
            status_code: details.status_code.map_or(0, i32::from),
            error: attempt.error.clone(),
            outcome: v1::attempt::Outcome::from(attempt.outcome).into(),
            next_attempt_time: attempt.next_attempt_time.map(timestamp_to_proto),
            remark: details.remark.clone(),
            ..v1::Attempt::default()
        }
    }
}

/// An attempt whose headers and bodies did not fit into the response.
pub fn attempt_without_content(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt { content_omitted: true, ..attempt.into() }
}

/// An attempt with its headers and bodies, unless they have expired. The request's body was the event's
/// unless the exchange holds another one. Bytes that are not UTF-8 are replaced, because people read
/// this and the receiver may send anything.
pub fn attempt_with_content(
    attempt: &Attempt,
    exchange: Option<&HttpExchange>,
    event_body: Option<&[u8]>,
) -> v1::Attempt {
    let sent = exchange.and_then(|exchange| exchange.request_body.as_deref()).or(event_body);
    let request_body = text(sent.unwrap_or_default());
    let attempt = v1::Attempt { request_body, ..attempt.into() };
    let Some(exchange) = exchange else { return attempt };
    v1::Attempt {
        request_headers: headers(&exchange.request_headers),
        response_headers: headers(&exchange.response_headers),
        response_body: answer_text(exchange),
        ..attempt
    }
}

fn headers(headers: &[(String, Vec<u8>)]) -> Vec<v1::Header> {
    let header =
        |(name, value): &(String, Vec<u8>)| v1::Header { name: name.clone(), value: text(value) };
    headers.iter().map(header).collect()
}

/// The body of a receiver's response for people: the text, or a description if it is not text.
fn answer_text(exchange: &HttpExchange) -> String {
    let body = &exchange.response_body;
    let length = body.len();
    let size = pluralize(length, "byte", "bytes");
    let encoded = exchange.response_headers.iter().filter_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-encoding").then_some(value.as_slice())
    });
    match ContentEncoding::of(encoded) {
        Some(encoding) if length > 0 => format!("[{size}, encoded: {encoding}]"),
        _ if is_binary(body) => match length {
            1 => format!("[{size} that is not text]"),
            _ => format!("[{size} that are not text]"),
        },
        _ => text(body),
    }
}

/// Whether bytes are not text: they contain a NUL, or more than two in five characters are control
/// characters or would be shown as replacement characters. (Of random bytes six in ten would, of a text
/// in Latin-1 few.)
fn is_binary(bytes: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(bytes);
    let is_odd =
        |c: &char| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    let odd = shown.chars().filter(is_odd).count();
    bytes.contains(&0) || 5 * odd > 2 * shown.chars().count()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Attempts stay far below 2³¹.
fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl From<EffectiveDeliveryState> for v1::delivery::State {
    fn from(state: EffectiveDeliveryState) -> Self {
        match state {
            EffectiveDeliveryState::Scheduled => v1::delivery::State::Scheduled,
            EffectiveDeliveryState::Retrying => v1::delivery::State::Retrying,
            EffectiveDeliveryState::Paused => v1::delivery::State::Paused,
            EffectiveDeliveryState::Delivered => v1::delivery::State::Delivered,
            EffectiveDeliveryState::Failed => v1::delivery::State::Failed,
            EffectiveDeliveryState::Cancelled => v1::delivery::State::Cancelled,
        }
    }
}

/// None: unspecified.
impl From<v1::delivery::State> for Option<EffectiveDeliveryState> {
    fn from(state: v1::delivery::State) -> Self {
        match state {
            v1::delivery::State::Unspecified => None,
            v1::delivery::State::Scheduled => Some(EffectiveDeliveryState::Scheduled),
            v1::delivery::State::Retrying => Some(EffectiveDeliveryState::Retrying),
            v1::delivery::State::Paused => Some(EffectiveDeliveryState::Paused),
            v1::delivery::State::Delivered => Some(EffectiveDeliveryState::Delivered),
            v1::delivery::State::Failed => Some(EffectiveDeliveryState::Failed),
            v1::delivery::State::Cancelled => Some(EffectiveDeliveryState::Cancelled),
        }
    }
}

impl From<AttemptOutcome> for v1::attempt::Outcome {
    fn from(outcome: AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Delivered => v1::attempt::Outcome::Delivered,
            AttemptOutcome::Retrying => v1::attempt::Outcome::Retrying,
            AttemptOutcome::Failed => v1::attempt::Outcome::Failed,
        }
    }
}

/// None: unspecified.
impl From<v1::attempt::Outcome> for Option<AttemptOutcome> {
    fn from(outcome: v1::attempt::Outcome) -> Self {
        match outcome {
            v1::attempt::Outcome::Unspecified => None,
            v1::attempt::Outcome::Delivered => Some(AttemptOutcome::Delivered),
            v1::attempt::Outcome::Retrying => Some(AttemptOutcome::Retrying),
            v1::attempt::Outcome::Failed => Some(AttemptOutcome::Failed),
        }
    }
}

impl From<Trigger> for v1::attempt::Trigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Automatic => v1::attempt::Trigger::Automatic,
            Trigger::Manual => v1::attempt::Trigger::Manual,
            Trigger::Test => v1::attempt::Trigger::Test,
        }
    }
}

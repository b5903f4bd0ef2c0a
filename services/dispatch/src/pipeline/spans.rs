//! Exports the spans of routing and of attempts. A span is made from the record once that is
//! committed, so that a trace has no step that the log does not have.
//!
//! Names and attributes: OpenTelemetry's semantic conventions for HTTP clients and messaging. Of
//! `url.full` the path and what follows is left out, as the conventions permit: it often grants
//! access (Slack's, for example), and secrets do not go into traces.
//!
//! Decision: docs/decisions/spans-are-made-when-they-are-over.md

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_telemetry::{
    FinishedSpan, KeyValue, SpanKind, event_attributes, is_recorded,
};

use super::owned_shard::OwnedShard;
use super::send_result::CompletedAttempt;
use crate::metrics::AttemptResult;

/// The record that routes an event is committed.
pub(crate) fn export_routing(
    organization: &OrganizationId,
    context: Option<TraceContext>,
    parent: TraceContext,
    (event_id, event_type): (EventId, EventType),
    deliveries: usize,
    (start, end): (Timestamp, Timestamp),
) {
    let Some(context) = context else { return };
    if !is_recorded(Some(&context)) {
        return;
    }
    let mut attributes = event_attributes(event_id.to_string(), event_type, organization);
    attributes.push(KeyValue::new("messaging.operation.name", "route"));
    attributes.push(KeyValue::new("messaging.operation.type", "process"));
    attributes.push(KeyValue::new("keeptrusts.deliveries", deliveries as i64));
    let span = FinishedSpan {
        context,
        parent,
        name: format!("route {event_type}").into(),
        kind: SpanKind::Consumer,
        start,
        end,
        attributes,
        links: Vec::new(),
        error: None,
    };
    span.export();
}

/// An attempt's outcome is committed; `after` is the delivery after it.
pub(crate) fn export_attempt(shard: &OwnedShard, attempted: &CompletedAttempt, after: &Delivery) {
    let Some(parent) = attempted.delivery.trace.clone() else { return };
    if !is_recorded(Some(&parent)) {
        return;
    }
    let details = &attempted.details;
    let Some(context) = after.attempt_trace(details.number) else { return };
    let before = details.number.checked_sub(1).filter(|number| *number > 0);
    let follows = before.and_then(|number| after.attempt_trace(number));
    let links = follows.into_iter().chain(attempted.request_trace.clone()).collect();

    let mut attributes =
        event_attributes(details.event_id.to_string(), details.event_type, &after.organization_id);
    let mut add = |key: &'static str, value: String| attributes.push(KeyValue::new(key, value));
    add("keeptrusts.delivery.id", after.id.to_string());
    add("keeptrusts.endpoint.id", details.endpoint_id.to_string());
    add("keeptrusts.attempt.trigger", details.trigger.name().to_owned());
    let outcome = match after.state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Scheduled | DeliveryState::Retrying => "retrying",
        DeliveryState::Failed | DeliveryState::Cancelled => "failed",
    };
    add("keeptrusts.attempt.outcome", outcome.to_owned());
    if let Some(next) = after.next_attempt_time {
        add("keeptrusts.attempt.next_attempt_time", next.to_string());
    }
    if !details.remark.is_empty() {
        add("keeptrusts.attempt.remark", details.remark.clone());
    }
    let target = shard.targets.get(details.endpoint_id);
    let uri = target.as_ref().and_then(|target| target.uri.as_ref());
    let host = uri.and_then(|uri| uri.host()).unwrap_or_default();
    let port = uri.and_then(|uri| uri.port_u16()).unwrap_or(443);
    add("url.full", format!("https://{host}:{port}/REDACTED"));
    add("server.address", host.to_owned());
    add("http.request.method", "POST".to_owned());
    add("messaging.operation.name", "deliver".to_owned());
    add("messaging.operation.type", "send".to_owned());
    attributes.push(KeyValue::new("server.port", i64::from(port)));
    attributes.push(KeyValue::new("keeptrusts.attempt.number", i64::from(details.number)));
    if details.number > 1 {
        let resends = i64::from(details.number - 1);
        attributes.push(KeyValue::new("http.request.resend_count", resends));
    }
    if let Some(status_code) = details.status_code {
        let status_code = i64::from(status_code);
        attributes.push(KeyValue::new("http.response.status_code", status_code));
    }
    let error = attempted.failure();
    if error.is_some() {
        let kind = match attempted.result {
            AttemptResult::Answered(status_code) => status_code.to_string(),
            other => other.name().to_owned(),
        };
        attributes.push(KeyValue::new("error.type", kind));
    }
    let span = FinishedSpan {
        context,
        parent,
        name: "POST".into(),
        kind: SpanKind::Client,
        start: details.start_time,
        end: attempted.end_time,
        attributes,
        links,
        error,
    };
    span.export();
}

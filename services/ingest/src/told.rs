//! The spans of a publishing, told when it is over: the event becomes durable, and the commit
//! that makes it so.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_telemetry::{KeyValue, SpanKind, ToldSpan, is_recorded, new_trace};

/// An event on its way into the log, whose trace is recorded.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) parent: TraceContext,
    pub(crate) context: TraceContext,
    pub(crate) event_id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) organization_id: OrganizationId,
    pub(crate) start: Timestamp,
    /// It is handed to the log.
    pub(crate) commit_start: Timestamp,
}

/// Where an event hangs in the trace of the call that publishes it: below a span of its own, if
/// that is recorded, so that the events of a batch are told apart.
pub(crate) fn place(call: TraceContext) -> TraceContext {
    match is_recorded(Some(call)) {
        true => call.child(new_trace().span_id),
        false => call,
    }
}

impl Publishing {
    /// It is over: durable, or not because of an error.
    pub(crate) fn over(self, end: Timestamp, error: Option<&str>) {
        let Publishing { parent, context, event_id, event_type, organization_id, .. } = self;
        let attributes = vec![
            KeyValue::new("messaging.system", "keeptrusts_webhooks"),
            KeyValue::new("messaging.operation.name", "publish"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", event_type.name()),
            KeyValue::new("messaging.message.id", event_id.to_string()),
            KeyValue::new("keeptrusts.organization.id", organization_id.to_string()),
        ];
        let commit = ToldSpan {
            context: context.child(new_trace().span_id),
            parent: context,
            name: "commit".into(),
            kind: SpanKind::Internal,
            start: self.commit_start,
            end,
            attributes: Vec::new(),
            follows: None,
            error: error.map(str::to_owned),
        };
        let publish = ToldSpan {
            context,
            parent,
            name: format!("publish {event_type}").into(),
            kind: SpanKind::Producer,
            start: self.start,
            end,
            attributes,
            follows: None,
            error: error.map(str::to_owned),
        };
        publish.tell();
        commit.tell();
    }
}

//! The spans of a published event: `publish`, and below it `commit`. Exported after the commit.
//!
//! Decision: docs/decisions/spans-are-made-when-they-are-over.md

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::Clock;
use keeptrusts_webhooks_telemetry::{
    FinishedSpan, KeyValue, SpanKind, event_attributes, is_recorded, new_span_id,
};

/// The data of an event's spans. Exists only if its trace is recorded.
pub(crate) struct PublishSpans {
    /// The call's span.
    pub(crate) parent: TraceContext,
    pub(crate) context: TraceContext,
    pub(crate) event_id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) organization_id: OrganizationId,
    pub(crate) start: Timestamp,
    pub(crate) clock: Clock,
}

/// The span of an event in the trace of the call that publishes it. If the trace is recorded, it is
/// a span of its own, which tells the events of a batch apart; otherwise the call's.
pub(crate) fn event_context(call: &TraceContext) -> TraceContext {
    match is_recorded(Some(call)) {
        true => call.child(new_span_id()),
        false => call.clone(),
    }
}

impl PublishSpans {
    /// Exports both spans. `error`: why the event is not durable.
    pub(crate) fn export(self, error: Option<&str>) {
        let end = (self.clock)();
        let commit = FinishedSpan {
            context: self.context.child(new_span_id()),
            parent: self.context.clone(),
            name: "commit".into(),
            kind: SpanKind::Internal,
            start: self.start,
            end,
            attributes: Vec::new(),
            links: Vec::new(),
            error: error.map(str::to_owned),
        };
        let event_id = self.event_id.to_string();
        self.publish_span(event_id, end, error).export();
        commit.export();
    }

    /// An event with the same idempotency key exists, and nothing was committed.
    pub(crate) fn export_duplicate(self, event_id: &str) {
        let end = (self.clock)();
        let mut publish = self.publish_span(event_id.to_owned(), end, None);
        publish.attributes.push(KeyValue::new("keeptrusts.event.duplicate", true));
        publish.export();
    }

    fn publish_span(self, event_id: String, end: Timestamp, error: Option<&str>) -> FinishedSpan {
        let PublishSpans { parent, context, event_type, organization_id, start, .. } = self;
        let mut attributes = event_attributes(event_id, event_type, &organization_id);
        attributes.push(KeyValue::new("messaging.operation.name", "publish"));
        attributes.push(KeyValue::new("messaging.operation.type", "send"));
        FinishedSpan {
            context,
            parent,
            name: format!("publish {event_type}").into(),
            kind: SpanKind::Producer,
            start,
            end,
            attributes,
            links: Vec::new(),
            error: error.map(str::to_owned),
        }
    }
}

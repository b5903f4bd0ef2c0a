//! The spans of a publishing, told when it is over: the event becomes durable, and the commit
//! that makes it so.
//!
//! Decision: docs/decisions/spans-are-made-when-they-are-over.md

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_store::Clock;
use keeptrusts_webhooks_telemetry::{
    KeyValue, SpanKind, ToldSpan, is_recorded, message, new_span_id,
};

/// An event on its way into the log, whose trace is recorded.
pub(crate) struct Publishing {
    pub(crate) parent: TraceContext,
    pub(crate) context: TraceContext,
    pub(crate) event_id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) organization_id: OrganizationId,
    pub(crate) start: Timestamp,
    pub(crate) clock: Clock,
}

/// Where an event hangs in the trace of the call that publishes it: below a span of its own, if
/// that is recorded, so that the events of a batch are told apart.
pub(crate) fn place(call: &TraceContext) -> TraceContext {
    match is_recorded(Some(call)) {
        true => call.child(new_span_id()),
        false => call.clone(),
    }
}

impl Publishing {
    /// It is over: durable, or not because of an error.
    pub(crate) fn over(self, error: Option<&str>) {
        let end = (self.clock)();
        let commit = ToldSpan {
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
        self.publish(event_id, end, error).tell();
        commit.tell();
    }

    /// An event with its idempotency key was there already, and nothing was committed.
    pub(crate) fn was_there(self, event_id: &str) {
        let end = (self.clock)();
        let mut publish = self.publish(event_id.to_owned(), end, None);
        publish.attributes.push(KeyValue::new("keeptrusts.event.duplicate", true));
        publish.tell();
    }

    fn publish(self, event_id: String, end: Timestamp, error: Option<&str>) -> ToldSpan {
        let Publishing { parent, context, event_type, organization_id, start, .. } = self;
        let mut attributes = message(event_id, event_type, &organization_id);
        attributes.push(KeyValue::new("messaging.operation.name", "publish"));
        attributes.push(KeyValue::new("messaging.operation.type", "send"));
        ToldSpan {
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

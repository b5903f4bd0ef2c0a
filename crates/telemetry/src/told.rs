//! Spans that are told when they are over.
//!
//! What happens to an event happens in several processes and takes hours; nobody holds a span
//! open for that. But the log has it all: when each step began and ended, where it hangs in its
//! trace, what came of it. So a span is made of that, in one piece, and only if its trace is
//! recorded: of the others not even the attributes are made.

use std::borrow::Cow;
use std::time::SystemTime;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::trace::TraceContext;
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceState;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::started;

/// A span that is over.
#[derive(Debug)]
pub struct ToldSpan {
    /// The span itself.
    pub context: TraceContext,
    /// The span in the same trace that it hangs below.
    pub parent: TraceContext,
    /// What it is called; of few different values.
    pub name: Cow<'static, str>,
    /// What kind of work it was.
    pub kind: SpanKind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What else is known of it; never a secret, a body or an endpoint's path.
    pub attributes: Vec<KeyValue>,
    /// A span in the same trace that it follows.
    pub follows: Option<TraceContext>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl ToldSpan {
    /// Hands the span to the exporter, unless its trace is not recorded. Never waits: if the
    /// exporter cannot keep up, spans are dropped, and the exporter says so.
    pub fn tell(self) {
        if !self.context.sampled {
            return;
        }
        let Some(exporting) = started::exporting() else { return };
        let mut links = SpanLinks::default();
        links.links.extend(
            self.follows.map(|before| Link::new(span_context(&before, false), Vec::new(), 0)),
        );
        exporting.tell(SpanData {
            span_context: span_context(&self.context, false),
            parent_span_id: SpanId::from_bytes(self.parent.span_id),
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name,
            start_time: system_time(self.start),
            end_time: system_time(self.end.max(self.start)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: exporting.scope(),
        });
    }
}

/// Whether spans of this trace go anywhere, so that it is worth while to make one.
pub fn is_recorded(trace: Option<TraceContext>) -> bool {
    trace.is_some_and(|trace| trace.sampled) && started::exporting().is_some()
}

pub(crate) fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.0),
        SpanId::from_bytes(context.span_id),
        if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
        is_remote,
        TraceState::default(),
    )
}

fn system_time(time: Timestamp) -> SystemTime {
    time.into()
}

//! Spans that are made and exported when their work is over.
//!
//! An event is processed by several processes over hours, and no process can hold a span open for so
//! long. But the log knows when each step began and ended, its place in the trace, and its result. So
//! a span is made from that, and only if its trace is recorded: otherwise not even its attributes are
//! made.
//!
//! Decision: docs/decisions/spans-are-made-when-they-are-over.md

use std::borrow::Cow;
use std::str::FromStr;
use std::time::SystemTime;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::trace::TraceContext;
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceState;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::global_telemetry;

#[derive(Debug)]
pub struct FinishedSpan {
    pub context: TraceContext,
    /// A span in the same trace.
    pub parent: TraceContext,
    /// One of few values.
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Must not contain a secret, a body or the path of an endpoint's URL.
    pub attributes: Vec<KeyValue>,
    /// The span before it in the same trace, and the span of the call in another trace that asked
    /// for the work.
    pub links: Vec<TraceContext>,
    /// None: the work has succeeded.
    pub error: Option<String>,
}

impl FinishedSpan {
    /// Exports the span if its trace is recorded. Never waits: if the exporter cannot keep up, spans
    /// are dropped with a warning.
    pub fn export(self) {
        if !self.context.sampled {
            return;
        }
        let Some(queue) = global_telemetry::span_queue() else { return };
        let mut links = SpanLinks::default();
        let others = self.links.iter();
        links
            .links
            .extend(others.map(|other| Link::new(span_context(other, false), Vec::new(), 0)));
        queue.send(SpanData {
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
            instrumentation_scope: queue.scope(),
        });
    }
}

/// Whether spans of this trace are exported. Otherwise there is no need to make one.
pub fn is_recorded(trace: Option<&TraceContext>) -> bool {
    trace.is_some_and(|trace| trace.sampled) && global_telemetry::span_queue().is_some()
}

pub(crate) fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.0),
        SpanId::from_bytes(context.span_id),
        if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
        is_remote,
        trace_state(context),
    )
}

/// OpenTelemetry's grammar is a little narrower than W3C's. A state that does not fit is dropped.
fn trace_state(context: &TraceContext) -> TraceState {
    let Some(state) = &context.state else { return TraceState::NONE };
    TraceState::from_str(state.as_str()).unwrap_or_default()
}

fn system_time(time: Timestamp) -> SystemTime {
    time.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracestate_survives_the_conversion_to_opentelemetry() {
        let trace: TraceContext =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a context");
        assert_eq!(span_context(&trace, false).trace_state().header(), "");
        for text in ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "fw529a3039@dt=FfbI;x:y z"] {
            let noted = trace.clone().with_state(text.parse().ok());
            assert_eq!(span_context(&noted, false).trace_state().header(), text);
        }
    }
}

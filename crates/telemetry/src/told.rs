//! Spans that are told when they are over.
//!
//! What happens to an event happens in several processes and takes hours; nobody holds a span
//! open for that. But the log has it all: when each step began and ended, where it hangs in its
//! trace, what came of it. So a span is made of that, in one piece, and only if its trace is
//! recorded: of the others not even the attributes are made.
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
    /// The span in the same trace that it follows, and whose call asked for it, in another.
    pub links: Vec<TraceContext>,
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
        let others = self.links.iter();
        links
            .links
            .extend(others.map(|other| Link::new(span_context(other, false), Vec::new(), 0)));
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
pub fn is_recorded(trace: Option<&TraceContext>) -> bool {
    trace.is_some_and(|trace| trace.sampled) && started::exporting().is_some()
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

/// OpenTelemetry's form. Its grammar is a little narrower than that of W3C: what it does not take is
/// left out.
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
    fn a_tracestate_is_the_same_in_opentelemetrys_form() {
        let trace: TraceContext =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a context");
        assert_eq!(span_context(&trace, false).trace_state().header(), "");
        for text in ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "fw529a3039@dt=FfbI;x:y z"] {
            let noted = trace.clone().with_state(text.parse().ok());
            assert_eq!(span_context(&noted, false).trace_state().header(), text);
        }
    }
}

//! The span of a gRPC call while it is answered.

use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::finished_span::span_context;
use crate::global_telemetry;

/// The target of spans that are exported.
pub(crate) const RECORDED: &str = "keeptrusts_webhooks::recorded";

/// A call that is being answered.
///
/// Its span has the level ERROR, so that every line that is logged within it has the trace's id:
/// also at `--log-level error`, and whether the trace is recorded or not.
#[derive(Debug)]
pub struct Call {
    trace: TraceContext,
    span: Span,
    is_recorded: bool,
}

impl Call {
    /// `method` is a full name, such as `keeptrusts.webhooks.v1.IngestService/PublishEvent`. `parent`
    /// is the caller's span, if it has one.
    pub fn begin(method: &str, parent: Option<TraceContext>) -> Call {
        let new = new_trace();
        match global_telemetry::sampling() {
            Some(ratio) if ratio.records(parent.as_ref(), &new) => Call::recorded(method, parent),
            // No span is exported, so later spans hang below the caller's.
            _ => Call::unrecorded(method, parent.unwrap_or(new)),
        }
    }

    /// Attributes follow OpenTelemetry's semantic conventions for RPC.
    fn recorded(method: &str, parent: Option<TraceContext>) -> Call {
        let span = tracing::error_span!(
            target: RECORDED,
            "call",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            trace_id = Empty,
        );
        if let Some(parent) = &parent {
            let parent = Context::new().with_remote_span_context(span_context(parent, true));
            // Fails only with another subscriber, as in tests.
            _ = span.set_parent(parent);
        }
        let context = span.context();
        let context = context.span().span_context().clone();
        if !context.is_valid() {
            return Call::unrecorded(method, parent.unwrap_or_else(new_trace));
        }
        let trace = TraceContext {
            trace_id: TraceId(context.trace_id().to_bytes()),
            span_id: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
            state: parent.and_then(|parent| parent.state),
        };
        span.record("trace_id", tracing::field::display(trace.trace_id));
        Call { trace, span, is_recorded: true }
    }

    fn unrecorded(method: &str, trace: TraceContext) -> Call {
        let span = tracing::error_span!("call", rpc.method = method, trace_id = %trace.trace_id);
        Call { trace, span, is_recorded: false }
    }

    /// The parent of everything that the call causes.
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Lines that are logged within this span belong to the call.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Records the status code of the answer.
    pub fn answered(&self, code: Code) {
        if !self.is_recorded {
            return;
        }
        self.span.record("rpc.response.status_code", code_name(code));
        // Only these are errors of the server; the others are caused by the caller (semantic
        // conventions for gRPC).
        let is_error = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if is_error {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// A new trace, for work that belongs to no caller's trace. It is not sampled, because nobody would
/// record its root.
pub fn new_trace() -> TraceContext {
    let ids = RandomIdGenerator::default();
    TraceContext {
        trace_id: TraceId(ids.new_trace_id().to_bytes()),
        span_id: ids.new_span_id().to_bytes(),
        sampled: false,
        state: None,
    }
}

pub fn new_span_id() -> [u8; 8] {
    RandomIdGenerator::default().new_span_id().to_bytes()
}

/// The name of a status code, such as NOT_FOUND.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

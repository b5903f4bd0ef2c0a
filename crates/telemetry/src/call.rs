//! The span of a call while it is answered.

use keeptrusts_webhooks_domain::trace::{TraceContext, TraceId};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::finished_span::span_context;
use crate::started;

/// The target of the spans that the layer of traces takes.
pub(crate) const RECORDED: &str = "keeptrusts_webhooks::recorded";

/// A call that is being answered.
///
/// Its span is of the level ERROR, so that whatever line is logged while it is entered has the
/// trace's id: also at `--log-level error`, and whether the trace is recorded or not.
#[derive(Debug)]
pub struct Call {
    trace: TraceContext,
    span: Span,
    is_recorded: bool,
}

impl Call {
    /// A call of a method, such as `keeptrusts.webhooks.v1.IngestService/PublishEvent`, in the
    /// caller's trace if it has one.
    pub fn begin(method: &str, parent: Option<TraceContext>) -> Call {
        let new = new_trace();
        match started::sampling() {
            Some(ratio) if ratio.records(parent.as_ref(), &new) => Call::recorded(method, parent),
            // Nobody would find a span of ours: what follows hangs where the call hangs.
            _ => Call::unrecorded(method, parent.unwrap_or(new)),
        }
    }

    /// With a span of its own. Attributes: OpenTelemetry's semantic conventions for RPC.
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
            // It fails only if the logs were started by somebody else, as tests do.
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

    /// Where it hangs in its trace; what it causes hangs below.
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// What is logged within this span belongs to the call.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// It was answered.
    pub fn answered(&self, code: Code) {
        if !self.is_recorded {
            return;
        }
        self.span.record("rpc.response.status_code", code_name(code));
        // For a server only these are errors: of the others the caller is the cause. (Semantic
        // conventions for gRPC.)
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

/// A trace of its own, for what belongs to no caller's. Not sampled: nobody records its root.
pub fn new_trace() -> TraceContext {
    let ids = RandomIdGenerator::default();
    TraceContext {
        trace_id: TraceId(ids.new_trace_id().to_bytes()),
        span_id: ids.new_span_id().to_bytes(),
        sampled: false,
        state: None,
    }
}

/// The id of a span below another one.
pub fn new_span_id() -> [u8; 8] {
    RandomIdGenerator::default().new_span_id().to_bytes()
}

/// A status code as protocols write it, such as NOT_FOUND.
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

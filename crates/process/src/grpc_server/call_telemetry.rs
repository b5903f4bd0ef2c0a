//! Telemetry of each gRPC call: its span, its duration, and its trace's id in every answer.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use keeptrusts_webhooks_contracts::api::trace_context_of;
use keeptrusts_webhooks_contracts::status::{ERROR_DOMAIN, Reason};
use keeptrusts_webhooks_telemetry::{Call, Histogram, KeyValue, SHORT_SECONDS, code_name, seconds};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tracing::Span;

use super::{decode_errors, methods};

/// The metadata of every answer that has the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Reports a call when its answer has been sent, or when the client has gone.
pub(super) struct CallTelemetry {
    call: Call,
    method: &'static str,
    began: Instant,
    is_finished: bool,
}

impl CallTelemetry {
    /// Adds the call's trace context to the request's extensions, for handlers.
    pub(super) fn begin(request: &mut Request<Body>) -> CallTelemetry {
        let method = known_method(request.uri().path());
        let call = Call::begin(method, trace_context_of(request.headers()));
        request.extensions_mut().insert(call.trace().clone());
        CallTelemetry { call, method, began: Instant::now(), is_finished: false }
    }

    /// Lines that are logged while the call is answered belong to this span.
    pub(super) fn span(&self) -> Span {
        self.call.span().clone()
    }

    /// Adds the request's id. An error finishes the call at once; another answer does when its last byte
    /// has been sent.
    pub(super) fn answer(mut self, response: Response<Body>) -> Response<Body> {
        let request_id = self.request_id();
        let mut response = match error_in(response.headers()) {
            Some(status) => {
                self.finish(status.code());
                let status = self.with_request_info(status);
                status.map_or(response, Status::into_http)
            }
            None => response.map(|body| Body::new(ReportedBody { body, telemetry: self })),
        };
        if let Ok(request_id) = HeaderValue::try_from(request_id) {
            response.headers_mut().insert(REQUEST_ID, request_id);
        }
        response
    }

    /// The id of the call's trace, by which its spans and log lines are found.
    fn request_id(&self) -> String {
        self.call.trace().trace_id.to_string()
    }

    /// Adds google.rpc.RequestInfo to an error.
    fn with_request_info(&self, status: Status) -> Option<Status> {
        let mut details = status.check_error_details().ok()?;
        // The router and the generated servers answer this by themselves, for unknown methods.
        if status.code() == Code::Unimplemented && details.error_info().is_none() {
            let reason = Reason::MethodNotFound.name();
            details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
        }
        details.set_request_info(self.request_id(), "");
        let (code, message) = (status.code(), status.message().to_owned());
        let metadata = status.metadata().clone();
        Some(Status::with_error_details_and_metadata(code, message, details, metadata))
    }

    /// Finishes the call with the status in its trailers. An error gets google.rpc.RequestInfo, as one
    /// in the headers has.
    fn end(&mut self, trailers: HeaderMap) -> HeaderMap {
        let Some(status) = error_in(&trailers) else {
            self.finish(code_of(&trailers));
            return trailers;
        };
        self.finish(status.code());
        let mut with_info = HeaderMap::new();
        match self.with_request_info(status).map(|status| status.add_header(&mut with_info)) {
            Some(Ok(())) => with_info,
            _ => trailers,
        }
    }

    fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.call.answered(code);
        let took = self.began.elapsed();
        tracing::debug!(parent: self.call.span(), code = code_name(code), ?took, "answered");
        let labels = [
            KeyValue::new("rpc.method", self.method),
            KeyValue::new("rpc.response.status_code", code_name(code)),
        ];
        CALL_DURATION.record(took.as_secs_f64(), &labels);
    }
}

impl Drop for CallTelemetry {
    fn drop(&mut self) {
        // The client has gone before the end of the answer.
        self.finish(Code::Cancelled);
    }
}

/// Finishes the call with the status in the answer's trailers.
struct ReportedBody {
    body: Body,
    telemetry: CallTelemetry,
}

impl http_body::Body for ReportedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(trailers) => Some(Ok(Frame::trailers(self.telemetry.end(trailers)))),
                Err(data) => Some(Ok(data)),
            },
            Some(Err(status)) => {
                self.telemetry.finish(status.code());
                Some(Err(status))
            }
            None => {
                self.telemetry.finish(Code::Ok);
                None
            }
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The error in the headers or trailers of an answer.
fn error_in(headers: &HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers).map(decode_errors::as_invalid_argument);
    status.filter(|status| status.code() != Code::Ok)
}

fn code_of(trailers: &HeaderMap) -> Code {
    Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code())
}

/// The method of a path, for metrics. Unknown methods share one name, because clients can make up as
/// many as they like.
fn known_method(path: &str) -> &'static str {
    // The name is from the semantic conventions for RPC.
    methods::of(path).map_or("_OTHER", |method| method.name.as_str())
}

/// Semantic conventions for RPC, metric `rpc.server.call.duration`.
static CALL_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    let about = "gRPC calls, from their headers to the end of the answer";
    seconds("rpc.server.call.duration", about, SHORT_SECONDS)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_share_one_name() {
        let publish = "keeptrusts.webhooks.v1.IngestService/PublishEvent";
        assert_eq!(known_method(&format!("/{publish}")), publish);
        for other in ["/", "", "/keeptrusts.webhooks.v1.IngestService/Nothing", "/a/b"] {
            assert_eq!(known_method(other), "_OTHER", "{other:?}");
        }
    }
}

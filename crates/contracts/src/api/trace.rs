//! The trace context of a request (W3C Trace Context).

use keeptrusts_webhooks_domain::trace::{TraceContext, TraceState};
use tonic::codegen::http::{Extensions, HeaderMap};

/// The `traceparent` and `tracestate` of a request. None if there is no `traceparent`, more than one, or
/// an invalid one: then the receiver starts a new trace (section 3.2). An invalid `tracestate` is dropped.
pub fn trace_context_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all("traceparent").iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    let trace: TraceContext = only.to_str().ok()?.parse().ok()?;
    Some(trace.with_state(trace_state_of(headers)))
}

/// Several headers are one list (section 3.3.1).
fn trace_state_of(headers: &HeaderMap) -> Option<TraceState> {
    let values = headers.get_all("tracestate").iter().map(|value| value.to_str());
    values.collect::<Result<Vec<_>, _>>().ok()?.join(",").parse().ok()
}

/// The parent span of what the request causes: the call's own span if it is recorded, otherwise the
/// caller's. The server stores it when the request comes in.
pub(super) fn trace_of_call(extensions: &Extensions) -> Option<TraceContext> {
    extensions.get().cloned()
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::HeaderValue;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", value.parse().expect("ASCII"));
        }
        headers
    }

    #[test]
    fn a_traceparent_counts_if_it_is_the_only_one_and_valid() {
        assert_eq!(trace_context_of(&headers(&[EXAMPLE])), EXAMPLE.parse().ok());
        assert_eq!(trace_context_of(&headers(&[EXAMPLE, EXAMPLE])), None);
        assert_eq!(trace_context_of(&headers(&["00-abc"])), None);
        assert_eq!(trace_context_of(&headers(&[])), None);
    }

    #[test]
    fn a_tracestate_goes_with_its_traceparent_if_it_is_valid() {
        let state = |parent: &[&'static str], values: &[&[u8]]| {
            let mut headers = headers(parent);
            for value in values {
                headers.append("tracestate", HeaderValue::from_bytes(value).expect("a value"));
            }
            let trace = trace_context_of(&headers);
            trace.map(|trace| trace.state.map(|state| state.as_str().to_owned()))
        };
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(state(&[EXAMPLE], &[b"rojo=1,congo=2"]), some("rojo=1,congo=2"));
        assert_eq!(state(&[EXAMPLE], &[b"rojo=1", b" congo=2 ,"]), some("rojo=1,congo=2"));
        assert_eq!(state(&[EXAMPLE], &[]), Some(None));
        // An invalid tracestate does not invalidate the traceparent.
        assert_eq!(state(&[EXAMPLE], &[b"rojo=1,rojo=2"]), Some(None));
        assert_eq!(state(&[EXAMPLE], &[b"rojo=1", b"rojo=2"]), Some(None));
        assert_eq!(state(&[EXAMPLE], &[b"rojo=\xff"]), Some(None));
        let long = format!("rojo={}", "x".repeat(600));
        assert_eq!(state(&[EXAMPLE], &[long.as_bytes()]), Some(None));
        assert_eq!(state(&["00-abc"], &[b"rojo=1"]), None);
    }
}

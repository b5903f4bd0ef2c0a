//! The trace that a caller says its request belongs to.

use keeptrusts_webhooks_domain::trace::TraceContext;
use tonic::codegen::http::{Extensions, HeaderMap};

/// The `traceparent` of a request. None if there is none, if there are several, or if it is
/// not valid: then, says W3C Trace Context (section 3.2), the receiver starts a trace of its own.
pub fn trace_context_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all("traceparent").iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()?.parse().ok()
}

/// Where what the request causes hangs in its trace, as the server has noted it when the request
/// came: below the span of the call, if that is recorded.
pub(super) fn trace_of_call(extensions: &Extensions) -> Option<TraceContext> {
    extensions.get().copied()
}

#[cfg(test)]
mod tests {
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
}

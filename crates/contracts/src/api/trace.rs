//! The trace that a caller says its request belongs to.

use keeptrusts_webhooks_domain::trace::TraceContext;
use tonic::metadata::MetadataMap;

/// The `traceparent` of a request. None if there is none, if there are several, or if it is
/// not valid: then, says W3C Trace Context (section 3.2), the receiver starts a trace of its own.
pub fn trace_context(metadata: &MetadataMap) -> Option<TraceContext> {
    let mut values = metadata.get_all("traceparent").iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn metadata(values: &[&'static str]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("traceparent", value.parse().expect("ASCII"));
        }
        metadata
    }

    #[test]
    fn a_traceparent_counts_if_it_is_the_only_one_and_valid() {
        assert_eq!(trace_context(&metadata(&[EXAMPLE])), EXAMPLE.parse().ok());
        assert_eq!(trace_context(&metadata(&[EXAMPLE, EXAMPLE])), None);
        assert_eq!(trace_context(&metadata(&["00-abc"])), None);
        assert_eq!(trace_context(&metadata(&[])), None);
    }
}

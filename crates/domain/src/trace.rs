//! W3C Trace Context, level 1: https://www.w3.org/TR/trace-context/.

use std::fmt;
use std::str::FromStr;

/// A trace and the span in it that something was caused by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, never all zeros.
    pub trace_id: TraceId,
    /// The parent span, never all zeros.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// A trace's id: 16 bytes, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        lower_hex(text).filter(|id| *id != [0; 16]).map(TraceId).ok_or(InvalidTraceContext)
    }
}

/// A text that is not a `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a W3C traceparent")]
pub struct InvalidTraceContext;

impl TraceContext {
    /// The context of a new span in the same trace.
    pub fn child(&self, span_id: [u8; 8]) -> TraceContext {
        TraceContext { span_id, ..*self }
    }
}

impl fmt::Display for TraceContext {
    /// The value of `traceparent`, section 3.2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-0{}", self.trace_id, hex::encode(self.span_id), u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Section 3.2.2. A later version than 00 may have more fields after the four known ones.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let mut fields = text.split('-');
        let mut field = || fields.next().ok_or(InvalidTraceContext);
        let version: [u8; 1] = lower_hex(field()?).ok_or(InvalidTraceContext)?;
        let trace_id = field()?.parse()?;
        let span_id = lower_hex(field()?).filter(|id| *id != [0; 8]).ok_or(InvalidTraceContext)?;
        let [flags] = lower_hex(field()?).ok_or(InvalidTraceContext)?;
        let has_more = fields.next().is_some();
        if version == [0xff] || (version == [0] && has_more) {
            return Err(InvalidTraceContext);
        }
        Ok(TraceContext { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_is_read_and_written_back() {
        let context: TraceContext = EXAMPLE.parse().expect("valid");
        assert!(context.sampled);
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_the_specification_calls_invalid_is_not_accepted() {
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(wrong.parse::<TraceContext>(), Err(InvalidTraceContext), "{wrong:?}");
        }
        assert!(EXAMPLE.replacen("00", "01", 1).parse::<TraceContext>().is_ok(), "later versions");
    }
}

//! W3C Trace Context, level 1: https://www.w3.org/TR/trace-context/.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A trace, and the span in it that caused something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, never all zeros.
    pub trace_id: TraceId,
    /// The parent span, never all zeros.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// The vendor data of the tracing systems of earlier callers. It goes on to our spans, and never to
    /// receivers, because it is none of their business.
    pub state: Option<TraceState>,
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
        TraceContext { span_id, ..self.clone() }
    }

    /// The context without `tracestate`, for a link to the span.
    pub fn without_state(&self) -> TraceContext {
        TraceContext { state: None, ..*self }
    }

    /// The context with another `tracestate`.
    pub fn with_state(self, state: Option<TraceState>) -> TraceContext {
        TraceContext { state, ..self }
    }
}

/// The value of `tracestate` (section 3.3): up to 32 keys of tracing systems with their values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceState(Arc<str>);

/// The most members of a `tracestate` (section 3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;
/// The size of a `tracestate` that every system must pass on (section 3.3.1.5). A longer one is dropped.
pub const MAX_STATE_BYTES: usize = 512;

/// A text that is not a `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a W3C tracestate of at most {MAX_STATE_BYTES} bytes")]
pub struct InvalidTraceState;

impl TraceState {
    /// The members, joined by commas.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for TraceState {
    type Err = InvalidTraceState;

    /// Needs at least one member. Empty members and white space around members are dropped.
    fn from_str(text: &str) -> Result<Self, InvalidTraceState> {
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        let members: Vec<_> = members.filter(|member| !member.is_empty()).collect();
        let mut keys = HashSet::new();
        let are_valid = members.iter().all(|member| {
            let Some((key, value)) = member.split_once('=') else { return false };
            is_state_key(key) && is_state_value(value) && keys.insert(key)
        });
        let joined = members.join(",");
        let fits =
            (1..=MAX_STATE_MEMBERS).contains(&members.len()) && joined.len() <= MAX_STATE_BYTES;
        (are_valid && fits).then(|| TraceState(joined.into())).ok_or(InvalidTraceState)
    }
}

/// Section 3.3.1.3.1: a simple key, or a tenant, an `@` and a system.
fn is_state_key(key: &str) -> bool {
    let is_rest =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let is_word = |word: &str, most: usize, digit_first: bool| {
        let bytes = word.as_bytes();
        bytes.first().is_some_and(|first| {
            first.is_ascii_lowercase() || (digit_first && first.is_ascii_digit())
        }) && bytes.len() <= most
            && bytes.iter().all(|byte| is_rest(*byte))
    };
    match key.split_once('@') {
        None => is_word(key, 256, false),
        Some((tenant, system)) => is_word(tenant, 241, true) && is_word(system, 14, false),
    }
}

/// Section 3.3.1.3.2: printable ASCII without commas, equals signs and a blank at the end.
fn is_state_value(value: &str) -> bool {
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_printable) && !value.ends_with(' ')
}

impl fmt::Display for TraceContext {
    /// The value of `traceparent`, section 3.2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-0{}", self.trace_id, hex::encode(self.span_id), u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Section 3.2.2. Versions after 00 may have more fields after the four known ones.
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
        Ok(TraceContext { trace_id, span_id, sampled: flags & 1 == 1, state: None })
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
    fn a_traceparent_that_the_specification_calls_invalid_is_refused() {
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

    #[test]
    fn a_tracestate_is_read_in_each_legal_form() {
        let longest = format!("k={}", "v".repeat(256));
        for (text, read) in [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (" rojo=1 ,\t,congo=2, ", "rojo=1,congo=2"),
            ("fw529a3039@dt=FfbI;x:y z,0a@b=c", "fw529a3039@dt=FfbI;x:y z,0a@b=c"),
            ("a_-*/0=!", "a_-*/0=!"),
            (&longest, &longest),
        ] {
            let state: TraceState = text.parse().expect(text);
            assert_eq!(state.as_str(), read);
        }
    }

    #[test]
    fn a_tracestate_that_is_invalid_or_too_large_is_refused() {
        let member = |number: usize| format!("k{number}=v");
        let of = |count: usize| (0..count).map(member).collect::<Vec<_>>().join(",");
        assert!(of(32).parse::<TraceState>().is_ok());
        // 255 bytes, a comma, and 256.
        let longest = format!("a={},b={}", "v".repeat(253), "v".repeat(254));
        assert_eq!((longest.len(), longest.parse::<TraceState>().is_ok()), (512, true));
        for wrong in [
            "",
            " ,\t",
            "rojo",
            "rojo=",
            "=1",
            "Rojo=1",
            "0rojo=1",
            "ro jo=1",
            "rojo=1,rojo=2",
            "rojo=a=b",
            "rojo=é",
            "rojo=1\r\n",
            "a@b@c=1",
            "@b=1",
            "a@=1",
            &format!("k={}", "v".repeat(257)),
            &format!("{}=v", "k".repeat(257)),
            &of(33),
            &format!("{longest}v"),
        ] {
            assert_eq!(wrong.parse::<TraceState>(), Err(InvalidTraceState), "{wrong:?}");
        }
    }
}

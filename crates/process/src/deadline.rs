//! The deadline of a gRPC call, from the header `grpc-timeout`.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
//!
//! When it passes, the [`grpc_server`](crate::grpc_server) drops the handler and answers
//! DEADLINE_EXCEEDED; tonic's own layer would answer CANCELLED. Handlers can ask for the time that
//! is left.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// The server puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Instant);

/// How long the caller will still wait. None: the request has no deadline.
pub fn remaining<T>(request: &tonic::Request<T>) -> Option<Duration> {
    let Deadline(deadline) = request.extensions().get()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}

/// The deadline of a request that has just arrived. An invalid timeout is ignored, as tonic does.
pub(crate) fn of(headers: &HeaderMap) -> Option<Deadline> {
    let timeout = timeout(headers.get("grpc-timeout")?.to_str().ok()?)?;
    Instant::now().checked_add(timeout).map(Deadline)
}

/// `TimeoutValue TimeoutUnit`: at most 8 digits and one of H, M, S, m, u, n.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 60 * 60)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_the_protocols_units() {
        assert_eq!(timeout("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(timeout("3M"), Some(Duration::from_secs(180)));
        assert_eq!(timeout("0S"), Some(Duration::ZERO));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "100000000n", "1é"] {
            assert_eq!(timeout(wrong), None, "{wrong:?}");
        }
    }
}

//! The deadline of a gRPC call, from the header `grpc-timeout`.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
//!
//! When it passes, the [`grpc_server`](crate::grpc_server) drops the handler and answers
//! DEADLINE_EXCEEDED; tonic's own layer would answer CANCELLED. Handlers can ask for the time that
//! is left.

use std::time::Duration;

use http::HeaderMap;
use keeptrusts_webhooks_domain::violation::Violation;
use tokio::time::Instant;

const HEADER: &str = "grpc-timeout";

/// The server puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Instant);

impl Deadline {
    pub(crate) fn has_passed(self) -> bool {
        self.0 <= Instant::now()
    }
}

/// How long the caller will still wait. None: the request has no deadline.
pub fn remaining<T>(request: &tonic::Request<T>) -> Option<Duration> {
    let Deadline(deadline) = request.extensions().get()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}

/// The deadline of a request that has just arrived. A timeout that cannot be read is refused: a caller
/// that has set one does not expect that the call runs without. (grpc-go refuses it too, as INTERNAL; the
/// fault is the caller's.)
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Deadline>, Violation> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Violation::invalid_format(HEADER, "is there more than once"));
    }
    let timeout = value.to_str().ok().and_then(timeout).ok_or_else(|| {
        let description =
            "must be 1 to 8 digits and a unit, one of H, M, S, m, u and n: for example 10S";
        Violation::invalid_format(HEADER, description)
    })?;
    // A time so far away that it cannot be expressed is none.
    Ok(Instant::now().checked_add(timeout).map(Deadline))
}

/// `TimeoutValue TimeoutUnit`: 1 to 8 digits and one of H, M, S, m, u, n.
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
    use http::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_have_the_protocols_units() {
        assert_eq!(timeout("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(timeout("3M"), Some(Duration::from_secs(180)));
        assert_eq!(timeout("0S"), Some(Duration::ZERO));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        let wrong = ["", "S", "1", "10", "abc", "1s", "-1S", "+1S", "1.5S", "1 S", " 1S", "1é"];
        for wrong in wrong.into_iter().chain(["100000000n", "000000001S"]) {
            assert_eq!(timeout(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_timeout_that_cannot_be_read_is_refused_and_so_are_two() {
        let of = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_bytes(value).expect("a value"));
            }
            of(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert!(of(&[b"1S"]).is_ok_and(|deadline| deadline.is_some()));
        for wrong in [&[&b"abc"[..]][..], &[b""], &[b"1\xff"], &[b"1S", b"1S"], &[b"1S", b"x"]] {
            assert_eq!(of(wrong).expect_err("refused").field, HEADER, "{wrong:?}");
        }
    }
}

//! Requests that a caller gives an id, so that it is safe to send them again (AIP-155).

use std::fmt;

use crate::Timestamp;
use crate::ids::OrganizationId;
use crate::limits::{MAX_REQUEST_ID_CHARS, REQUEST_ID_LIFETIME};
use crate::log::Stream;
use crate::violation::Violation;

/// A caller's id of a request: 1 to 128 characters of visible ASCII, unique in the organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(String);

impl RequestId {
    /// The id, or None if `text` is empty.
    pub fn optional(text: String) -> Result<Option<RequestId>, Violation> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible || text.len() > MAX_REQUEST_ID_CHARS {
            let description = format!(
                "must be 1 to {MAX_REQUEST_ID_CHARS} characters of visible ASCII, for example a UUID; empty means none"
            );
            return Err(Violation::invalid_format("request_id", description));
        }
        Ok((!text.is_empty()).then_some(RequestId(text)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of what makes two requests the same: the method, the caller and the content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestDigest(pub [u8; 32]);

// The content may have a secret, which is easier to guess for those who can check a guess.
impl fmt::Debug for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestDigest(..)")
    }
}

/// A request with a caller's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedRequest {
    /// The caller's id.
    pub id: RequestId,
    /// Tells a repetition from another request with the same id.
    pub digest: RequestDigest,
}

/// The last request with an id that has recorded something, as the tables hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// The organization that the request named.
    pub organization_id: OrganizationId,
    /// The request.
    pub request: IdentifiedRequest,
    /// What it made, or sent, or what it was about.
    pub stream: Stream,
    /// When that was recorded.
    pub time: Timestamp,
}

/// What a request is to those before it with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestUse {
    /// The first one for [`REQUEST_ID_LIFETIME`]: it counts.
    First,
    /// The same request again: it does nothing, and is answered with what this stream is about.
    Repeated(Stream),
    /// Another request: it is refused.
    Reused,
}

impl RecordedRequest {
    /// What a request with the same id is at the time `now`, by the clock that [`time`](Self::time)
    /// is from.
    pub fn judge(&self, digest: RequestDigest, now: Timestamp) -> RequestUse {
        // A clock that was set back makes no id new.
        let is_over = Timestamp::duration_since(now, self.time)
            >= jiff::SignedDuration::from_secs(REQUEST_ID_LIFETIME.as_secs() as i64);
        match self.request.digest == digest {
            _ if is_over => RequestUse::First,
            true => RequestUse::Repeated(self.stream),
            false => RequestUse::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::EndpointId;

    #[test]
    fn an_id_is_visible_ascii_of_at_most_128_characters() {
        let id = |text: &str| RequestId::optional(text.to_owned());
        assert_eq!(id(""), Ok(None));
        for text in ["7", "!~", "0191f0c4-3b1e-7cc2-98c4-dc0c0c07398f", &"x".repeat(128)] {
            assert_eq!(id(text).expect("right").expect("not empty").as_str(), text);
        }
        for text in [" ", "a b", "a\tb", "a\0", "é", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(id(text).expect_err("wrong").field, "request_id", "{text:?}");
        }
    }

    #[test]
    fn an_id_is_remembered_for_a_day_and_no_longer() {
        let (digest, other) = (RequestDigest([1; 32]), RequestDigest([2; 32]));
        let stream = Stream::Endpoint(EndpointId::MIN);
        let time = Timestamp::UNIX_EPOCH;
        let id = RequestId::optional("r".to_owned()).expect("right").expect("not empty");
        let request = IdentifiedRequest { id, digest };
        let organization_id = "acme".parse().expect("an id");
        let recorded = RecordedRequest { organization_id, request, stream, time };
        let last = time + REQUEST_ID_LIFETIME - Duration::from_nanos(1);
        for now in [time, last, time - Duration::from_secs(3_600)] {
            assert_eq!(recorded.judge(digest, now), RequestUse::Repeated(stream), "{now}");
            assert_eq!(recorded.judge(other, now), RequestUse::Reused, "{now}");
        }
        for digest in [digest, other] {
            assert_eq!(recorded.judge(digest, time + REQUEST_ID_LIFETIME), RequestUse::First);
        }
    }

    #[test]
    fn invariant_10_a_digest_is_not_shown() {
        assert_eq!(format!("{:?}", RequestDigest([7; 32])), "RequestDigest(..)");
    }
}

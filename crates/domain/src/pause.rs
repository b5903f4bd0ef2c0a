//! Pauses: a receiver that is asked too much, or that is busy, says for how long its endpoint is to
//! be left alone.
//!
//! Decision: docs/decisions/a-pause-is-part-of-an-attempt.md

use std::time::Duration;

use crate::Timestamp;
use crate::fact::EndpointFact;
use crate::ids::DeliveryId;
use crate::limits::MAX_ENDPOINT_PAUSE;

/// Too Many Requests (RFC 6585 section 4) and Service Unavailable (RFC 9110 section 15.6.4): what
/// they ask for is about the receiver, and not about the one request.
const BUSY: [u16; 2] = [429, 503];

/// A pause that a receiver has asked for, as the tables hold it: the last one of an endpoint, until
/// something ends it (see [`EndpointFact::ends_pause`]). Automatic attempts wait for its end,
/// without being used up; manual retries and tests do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When the answer that asked for it was recorded.
    pub start_time: Timestamp,
    /// At most [`MAX_ENDPOINT_PAUSE`] after that.
    pub end_time: Timestamp,
    /// The delivery that was answered.
    pub delivery_id: DeliveryId,
    /// With what: 429 or 503.
    pub status_code: u16,
}

impl Pause {
    /// How long the endpoint is left alone after an answer with this status that asks for
    /// `retry_after`. None: not at all.
    pub fn after_answer(status_code: u16, retry_after: Option<Duration>) -> Option<Duration> {
        let wait = retry_after.filter(|wait| !wait.is_zero() && BUSY.contains(&status_code))?;
        Some(wait.min(MAX_ENDPOINT_PAUSE))
    }

    /// A pause of `wait` that begins at `start_time`.
    pub fn new(
        start_time: Timestamp,
        wait: Duration,
        delivery_id: DeliveryId,
        status_code: u16,
    ) -> Pause {
        let end_time = start_time.checked_add(wait.min(MAX_ENDPOINT_PAUSE));
        let end_time = end_time.unwrap_or(Timestamp::MAX);
        Pause { start_time, end_time, delivery_id, status_code }
    }

    /// What is left of it at `now`, by a clock that may have been set since it began: never more
    /// than was asked for. None: it is over, or it began so far ahead of now that only a clock
    /// that has been set back explains it.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let between = |from, to: Timestamp| Duration::try_from(to.duration_since(from)).ok();
        let whole = between(self.start_time, self.end_time)?;
        let left = between(now, self.end_time).filter(|left| !left.is_zero())?;
        (left <= whole + MAX_ENDPOINT_PAUSE).then(|| left.min(whole))
    }

    /// Whether it was over at `now`, but not for longer than a pause may last: who takes over then
    /// begins slowly.
    pub fn has_just_ended(&self, now: Timestamp) -> bool {
        let since = Duration::try_from(now.duration_since(self.end_time));
        since.is_ok_and(|since| since <= MAX_ENDPOINT_PAUSE)
    }
}

impl EndpointFact {
    /// Whether a pause is over with it: somebody says that the receiver is to be asked again, or
    /// there is another receiver, or none.
    pub fn ends_pause(&self) -> bool {
        match self {
            EndpointFact::Enabled | EndpointFact::Deleted => true,
            EndpointFact::Updated { patch, .. } => patch.url.is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint_config::EndpointPatch;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn an_endpoint_pauses_after_429_and_503_for_five_minutes_at_most() {
        for status_code in BUSY {
            let pause = |wait| Pause::after_answer(status_code, wait);
            assert_eq!(pause(Some(seconds(20))), Some(seconds(20)));
            assert_eq!(pause(Some(seconds(3_600))), Some(seconds(300)));
            assert_eq!(pause(Some(Duration::MAX)), Some(seconds(300)));
            assert_eq!(pause(Some(Duration::ZERO)), None);
            assert_eq!(pause(None), None);
        }
        for status_code in [200, 301, 404, 410, 413, 500, 502, 504] {
            assert_eq!(Pause::after_answer(status_code, Some(seconds(20))), None, "{status_code}");
        }
    }

    #[test]
    fn a_clock_that_was_set_does_not_stretch_a_pause() {
        let start = time("2026-04-23T10:30:00Z");
        let pause = Pause::new(start, seconds(20), DeliveryId::MIN, 429);
        let remaining = |now| pause.remaining(time(now));
        assert_eq!(remaining("2026-04-23T10:30:05Z"), Some(seconds(15)));
        assert_eq!(remaining("2026-04-23T10:30:20Z"), None);
        // Set ahead: over. Set back a little: the whole of it. Set back far: not any more.
        assert_eq!(remaining("2026-04-23T12:30:00Z"), None);
        assert_eq!(remaining("2026-04-23T10:29:00Z"), Some(seconds(20)));
        assert_eq!(remaining("2026-04-23T08:30:00Z"), None);
        assert!(!pause.has_just_ended(time("2026-04-23T10:30:19Z")));
        assert!(pause.has_just_ended(time("2026-04-23T10:30:20Z")));
        assert!(!pause.has_just_ended(time("2026-04-23T10:35:21Z")));
        let longest = Pause::new(start, Duration::MAX, DeliveryId::MIN, 503);
        assert_eq!(longest.remaining(start), Some(MAX_ENDPOINT_PAUSE));
        let last = Pause::new(Timestamp::MAX, seconds(20), DeliveryId::MIN, 429);
        assert_eq!(last.end_time, Timestamp::MAX);
    }

    #[test]
    fn enabling_deleting_and_another_url_end_a_pause_and_nothing_else_does() {
        let updated =
            |patch| EndpointFact::Updated { patch, secret: None, before: EndpointPatch::default() };
        let url = Some("https://example.com/other".to_owned());
        let name = Some("other".to_owned());
        assert!(EndpointFact::Enabled.ends_pause());
        assert!(EndpointFact::Deleted.ends_pause());
        assert!(updated(EndpointPatch { url, ..EndpointPatch::default() }).ends_pause());
        assert!(!updated(EndpointPatch { name, ..EndpointPatch::default() }).ends_pause());
        assert!(!EndpointFact::SecretRevealed.ends_pause());
        let recovered = EndpointFact::Recovered { delivery_id: DeliveryId::MIN };
        assert!(!recovered.ends_pause(), "what was under way may still succeed");
    }
}

//! Pauses: a receiver that is overloaded says how long its endpoint should get no deliveries.
//!
//! Decision: docs/decisions/a-pause-is-part-of-an-attempt.md

use std::time::Duration;

use crate::Timestamp;
use crate::fact::EndpointFact;
use crate::ids::DeliveryId;
use crate::limits::MAX_ENDPOINT_PAUSE;

/// Too Many Requests (RFC 6585 section 4) and Service Unavailable (RFC 9110 section 15.6.4). Their
/// Retry-After is about the receiver as a whole, not about the one request.
const BUSY: [u16; 2] = [429, 503];

/// A pause that a receiver has asked for. The tables hold the last one of an endpoint until a fact
/// ends it (see [`EndpointFact::ends_pause`]). Automatic attempts wait for its end and are not used up
/// by that. Manual retries and tests do not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When the response that asked for it was recorded.
    pub start_time: Timestamp,
    /// When it ends: at most [`MAX_ENDPOINT_PAUSE`] after `start_time`.
    pub end_time: Timestamp,
    /// The delivery that was answered.
    pub delivery_id: DeliveryId,
    /// The status of the response: 429 or 503.
    pub status_code: u16,
}

impl Pause {
    /// How long the endpoint pauses after a response with this status and Retry-After. None: it does
    /// not pause.
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

    /// What remains of the pause at `now`. The clock may have been set since the pause began, so the
    /// result is never more than the whole pause. None: the pause is over, or it began so far in the
    /// future that the clock must have been set back.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let between = |from, to: Timestamp| Duration::try_from(to.duration_since(from)).ok();
        let whole = between(self.start_time, self.end_time)?;
        let left = between(now, self.end_time).filter(|left| !left.is_zero())?;
        (left <= whole + MAX_ENDPOINT_PAUSE).then(|| left.min(whole))
    }

    /// Whether the pause has ended at `now`, but less than [`MAX_ENDPOINT_PAUSE`] ago. A new owner of
    /// the shard then starts slowly with the endpoint.
    pub fn has_just_ended(&self, now: Timestamp) -> bool {
        let since = Duration::try_from(now.duration_since(self.end_time));
        since.is_ok_and(|since| since <= MAX_ENDPOINT_PAUSE)
    }
}

impl EndpointFact {
    /// Whether the fact ends a pause: a user has enabled the endpoint, its URL is another one, or it was
    /// deleted.
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
    fn an_endpoint_pauses_after_429_and_503_for_at_most_five_minutes() {
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
        // Set ahead: it is over. Set back a little: all of it remains. Set back far: it is over.
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
    fn a_pause_ends_with_enabling_deleting_or_another_url_and_nothing_else() {
        let updated =
            |patch| EndpointFact::Updated { patch, secret: None, before: EndpointPatch::default() };
        let url = Some("https://example.com/other".to_owned());
        let name = Some("other".to_owned());
        assert!(EndpointFact::Enabled.ends_pause());
        assert!(EndpointFact::Deleted.ends_pause());
        assert!(updated(EndpointPatch { url, ..EndpointPatch::default() }).ends_pause());
        assert!(
            !updated(EndpointPatch { display_name: name, ..EndpointPatch::default() }).ends_pause()
        );
        assert!(!EndpointFact::SecretRevealed.ends_pause());
        let recovered = EndpointFact::Recovered { delivery_id: DeliveryId::MIN };
        assert!(
            !recovered.ends_pause(),
            "a success may come from a request that began before the pause"
        );
    }
}

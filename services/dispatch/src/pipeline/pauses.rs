//! Pauses that receivers have asked for, as far as this process knows. They decide which of many
//! responses make a pause longer, and so are worth recording.
//!
//! Decision: docs/decisions/a-pause-is-part-of-an-attempt.md

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::pause::Pause;
use tokio::time::Instant;

/// When each endpoint's pause ends or ended, on a clock that nobody can set.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<HashMap<EndpointId, Instant>>);

impl Pauses {
    /// Takes over the database's rows at `now`. A pause that has just ended is kept with no length,
    /// so that sending resumes slowly, as the last owner would have done.
    pub(crate) fn put(&self, pauses: &HashMap<EndpointId, Pause>, now: Timestamp) {
        let left = pauses.iter().filter_map(|(id, pause)| {
            let just_ended = || pause.has_just_ended(now).then_some(Duration::ZERO);
            Some((*id, Instant::now() + pause.remaining(now).or_else(just_ended)?))
        });
        *self.lock() = left.collect();
    }

    /// How long each of them still lasts.
    pub(crate) fn remaining(&self) -> Vec<(EndpointId, Duration)> {
        let now = Instant::now();
        let pauses = self.lock();
        pauses.iter().map(|(id, end)| (*id, end.saturating_duration_since(now))).collect()
    }

    /// How long ago an endpoint's pause ended: zero while it lasts. None: there was none.
    pub(crate) fn since_end(&self, id: EndpointId) -> Option<Duration> {
        self.lock().get(&id).map(Instant::elapsed)
    }

    /// A response asks for a pause of `wait` from now on. Returns the pause's end if that is later
    /// than before.
    pub(crate) fn extend(&self, id: EndpointId, wait: Duration) -> Option<Instant> {
        let end = Instant::now() + wait;
        let mut pauses = self.lock();
        if pauses.get(&id).is_some_and(|before| *before >= end) {
            return None;
        }
        pauses.insert(id, end);
        Some(end)
    }

    /// Whether an endpoint's pause still ends at `end`: no other response has made it longer.
    pub(crate) fn ends_at(&self, id: EndpointId, end: Instant) -> bool {
        self.lock().get(&id) == Some(&end)
    }

    /// The endpoint's pause does not count any more.
    pub(crate) fn forget(&self, id: EndpointId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::ids::DeliveryId;

    use super::*;

    const ID: EndpointId = EndpointId::MIN;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn only_responses_that_make_a_pause_longer_count() {
        let pauses = Pauses::default();
        let first = pauses.extend(ID, seconds(20)).expect("the first");
        assert_eq!(pauses.extend(ID, seconds(20)), None, "at the same moment");
        assert_eq!(pauses.extend(ID, seconds(5)), None);
        assert!(pauses.ends_at(ID, first));
        assert_eq!(pauses.since_end(ID), Some(seconds(0)), "it lasts");
        tokio::time::advance(seconds(1)).await;
        let second = pauses.extend(ID, seconds(20)).expect("it ends a second later");
        assert!(!pauses.ends_at(ID, first) && pauses.ends_at(ID, second));
        tokio::time::advance(seconds(30)).await;
        assert_eq!(pauses.since_end(ID), Some(seconds(10)));
        assert!(pauses.extend(ID, seconds(1)).is_some(), "what is over does not count");
        pauses.forget(ID);
        assert_eq!(pauses.remaining(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_owner_continues_the_rest_of_a_pause() {
        let start: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        let ids = [1, 2, 3].map(|number| EndpointId::new(ulid::Ulid(number)));
        let waits = [seconds(300), seconds(20), seconds(1)];
        let of = |wait| Pause::new(start, wait, DeliveryId::MIN, 429);
        let stored = ids.into_iter().zip(waits.map(of)).collect();
        let pauses = Pauses::default();
        pauses.put(&stored, start + seconds(60));
        let mut remaining = pauses.remaining();
        remaining.sort_unstable();
        assert_eq!(remaining, [(ids[0], seconds(240)), (ids[1], seconds(0)), (ids[2], seconds(0))]);
        pauses.put(&stored, start + seconds(310));
        let mut remaining = pauses.remaining();
        remaining.sort_unstable();
        let ended = [(ids[0], seconds(0)), (ids[1], seconds(0))];
        assert_eq!(remaining, ended, "the third has been over for long");
    }
}

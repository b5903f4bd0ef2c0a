//! Whether a call is tried again, and when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;
use crate::backoff::Backoff;

/// How calls are retried.
///
/// A call is retried until its deadline if it failed with UNAVAILABLE, or with RESOURCE_EXHAUSTED and a
/// time after which a retry helps; and if repeating it is safe. The wait is random up to a limit that
/// doubles, from [`shortest_wait`](Self::shortest_wait) to [`longest_wait`](Self::longest_wait), but no
/// shorter than the server asks for (`RetryInfo`).
///
/// All calls of a client share a budget of retries, so that a server in trouble does not get its load
/// several times: 100 retries at once and 10 a second. A retry beyond it waits. Calls that could not even
/// connect do not count, because they cost the server nothing.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) max_attempts: u32,
    budget: Arc<Budget>,
}

impl RetryPolicy {
    /// No call is tried a second time.
    pub fn none() -> RetryPolicy {
        RetryPolicy::default().max_attempts(1)
    }

    /// The limit of the first wait. Default: 100 ms.
    pub fn shortest_wait(mut self, wait: Duration) -> RetryPolicy {
        self.shortest = wait;
        self
    }

    /// The limit that no wait exceeds, unless the server asks for more. Default: 5 s.
    pub fn longest_wait(mut self, wait: Duration) -> RetryPolicy {
        self.longest = wait;
        self
    }

    /// How often a call is tried, the first time included. Default: as often as its deadline allows.
    pub fn max_attempts(mut self, attempts: u32) -> RetryPolicy {
        self.max_attempts = attempts.max(1);
        self
    }

    /// The budget of retries: so many at once, and so many a second afterwards. Default: 100 and 10.
    pub fn budget(mut self, at_once: u32, per_second: f64) -> RetryPolicy {
        self.budget = Arc::new(Budget::new(at_once, per_second));
        self
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.shortest, self.longest)
    }

    /// The retries of one call.
    pub(crate) fn start(&self, is_repeatable: bool, deadline: Option<Instant>) -> Retries {
        Retries {
            policy: self.clone(),
            backoff: self.backoff(),
            attempts: 1,
            is_repeatable,
            deadline,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            max_attempts: u32::MAX,
            budget: Arc::new(Budget::new(100, 10.0)),
        }
    }
}

/// The retries of one call.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: RetryPolicy,
    backoff: Backoff,
    /// So many were made, the present one included.
    pub(crate) attempts: u32,
    is_repeatable: bool,
    deadline: Option<Instant>,
}

impl Retries {
    /// When to try again after this error at `now`. None: not at all.
    pub(crate) fn next(&mut self, error: &Error, now: Instant, random: f64) -> Option<Instant> {
        let may_be_repeated = self.is_repeatable || error.is_not_sent();
        if !error.is_temporary() || !may_be_repeated || self.attempts >= self.policy.max_attempts {
            return None;
        }
        let wait = self.backoff.next(random).max(error.retry_delay().unwrap_or_default());
        let at = now.checked_add(wait)?;
        let is_in_time = |at: Instant| self.deadline.is_none_or(|deadline| at < deadline);
        if !is_in_time(at) {
            return None;
        }
        let token_at = match error.is_not_sent() {
            true => at,
            false => self.policy.budget.take(now, self.deadline)?,
        };
        self.attempts += 1;
        Some(at.max(token_at))
    }
}

/// A token bucket: a retry takes a token, or waits for one.
#[derive(Debug)]
struct Budget {
    capacity: f64,
    per_second: f64,
    /// Tokens, which may be owed, and when there were so many.
    state: Mutex<(f64, Option<Instant>)>,
}

impl Budget {
    fn new(at_once: u32, per_second: f64) -> Budget {
        let capacity = f64::from(at_once.max(1));
        let per_second = if per_second.is_finite() { per_second.max(0.001) } else { 1e6 };
        Budget { capacity, per_second, state: Mutex::new((capacity, None)) }
    }

    /// Takes a token; returns when it is there. None: not before the deadline, so that none is taken. If it
    /// were, calls that fail would owe tokens that later calls have to wait for.
    fn take(&self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *state;
        let elapsed = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let tokens = (tokens + elapsed.as_secs_f64() * self.per_second).min(self.capacity);
        let wait = ((1.0 - tokens) / self.per_second).max(0.0);
        let at = Duration::try_from_secs_f64(wait).ok().and_then(|wait| now.checked_add(wait));
        let at = at.filter(|at| deadline.is_none_or(|deadline| *at < deadline));
        *state = (if at.is_some() { tokens - 1.0 } else { tokens }, Some(now));
        at
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, ConnectError, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn unavailable() -> Error {
        Error::own(Code::Unavailable, "try again")
    }

    fn not_sent() -> Error {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Error::from(Status::from_error(Box::new(ConnectError(Box::new(refused)))))
    }

    #[test]
    fn only_what_may_be_repeated_and_may_pass_is_tried_again() {
        let now = Instant::now();
        let tried_again = |is_repeatable, error: &Error| {
            let mut retries = RetryPolicy::default().start(is_repeatable, None);
            retries.next(error, now, 1.0).is_some()
        };
        assert!(tried_again(true, &unavailable()));
        assert!(!tried_again(false, &unavailable()));
        assert!(tried_again(false, &not_sent()), "nobody can have got it");
        assert!(!tried_again(true, &Error::own(Code::Internal, "a bug")));
        assert!(!tried_again(true, &Error::own(Code::Unauthenticated, "no key")));
    }

    #[test]
    fn no_retry_begins_at_or_after_the_deadline() {
        let now = Instant::now();
        let policy = RetryPolicy::default().shortest_wait(SECOND).longest_wait(SECOND);
        let at = |within| policy.start(true, Some(now + within)).next(&unavailable(), now, 1.0);
        assert_eq!(at(SECOND), None);
        assert_eq!(at(SECOND * 2), Some(now + SECOND));
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait_and_not_for_a_shorter_one() {
        let now = Instant::now();
        let policy = RetryPolicy::default().shortest_wait(SECOND);
        let after = |asked| {
            let details = ErrorDetails::with_retry_info(Some(asked));
            let status = Status::with_error_details(Code::Unavailable, "later", details);
            policy.start(true, None).next(&Error::from(status), now, 1.0).expect("it is tried")
        };
        assert_eq!(after(SECOND * 7), now + SECOND * 7);
        assert_eq!(after(SECOND / 2), now + SECOND);
    }

    #[test]
    fn attempts_are_counted() {
        let now = Instant::now();
        let mut retries = RetryPolicy::default().max_attempts(3).start(true, None);
        let tried: Vec<_> =
            (0..3).map(|_| retries.next(&unavailable(), now, 0.0).is_some()).collect();
        assert_eq!(tried, [true, true, false]);
        assert!(RetryPolicy::none().start(true, None).next(&not_sent(), now, 0.0).is_none());
    }

    #[test]
    fn retries_beyond_the_budget_of_all_calls_wait_for_it_but_connecting_is_free() {
        let now = Instant::now();
        let policy = RetryPolicy::default().budget(2, 4.0);
        let after = |error: &Error, at| {
            policy.start(true, None).next(error, at, 0.0).expect("it is tried") - at
        };
        assert_eq!(after(&unavailable(), now), Duration::ZERO);
        assert_eq!(after(&unavailable(), now), Duration::ZERO);
        assert_eq!(after(&unavailable(), now), SECOND / 4);
        assert_eq!(after(&unavailable(), now), SECOND / 2);
        assert_eq!(after(&not_sent(), now), Duration::ZERO);
        // Two are owed; after a second there are two again.
        assert_eq!(after(&unavailable(), now + SECOND), Duration::ZERO);
        let mut late = policy.start(true, Some(now + SECOND + SECOND / 100));
        late.next(&unavailable(), now + SECOND, 0.0).expect("the last token");
        assert_eq!(late.next(&unavailable(), now + SECOND, 0.0), None, "not before its deadline");
    }

    #[test]
    fn calls_whose_time_is_over_owe_nothing() {
        let now = Instant::now();
        let policy = RetryPolicy::default().budget(1, 4.0);
        let next = |within| policy.start(true, Some(now + within)).next(&unavailable(), now, 0.0);
        assert_eq!(next(SECOND), Some(now));
        for _ in 0..1_000 {
            assert_eq!(next(SECOND / 8), None);
        }
        assert_eq!(next(SECOND), Some(now + SECOND / 4));
    }
}

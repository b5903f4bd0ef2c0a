//! How fast somebody may make keys and open sessions: each is a record that stays for ever.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use tonic::Status;

/// Keys and sessions that one actor may make in a minute, and as many at once.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("not zero");
/// The actors whose pace is remembered; those who have been slow again are forgotten first.
const MAX_ACTORS: usize = 10_000;

/// Keys and sessions a minute for each actor.
pub(crate) struct Pace {
    limiter: RateLimiter<String, HashMapStateStore<String>, MonotonicClock>,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        let quota = Quota::per_minute(PER_MINUTE);
        Pace { limiter: RateLimiter::hashmap_with_clock(quota, MonotonicClock) }
    }

    /// RESOURCE_EXHAUSTED, with when to try again: too fast.
    pub(crate) fn keep(&self, actor: &str) -> Result<(), Status> {
        if self.limiter.len() > MAX_ACTORS {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&actor.to_owned()).map_err(|not_until| {
            let message = "keys and sessions are made faster than anybody needs them: go on later";
            let delay = not_until.wait_time_from(MonotonicClock.now());
            let delay = delay.max(Duration::from_millis(1));
            status::resource_exhausted_for(delay, Reason::TooManyKeys, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_keys_too_fast_has_to_wait_and_others_have_not() {
        let pace = Pace::new();
        for _ in 0..PER_MINUTE.get() {
            assert!(pace.keep("key_1").is_ok());
        }
        let refused = pace.keep("key_1").expect_err("too fast");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(pace.keep("key_2").is_ok());
    }
}

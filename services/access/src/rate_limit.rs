//! The rate limit for creating keys and sessions, each of which is a record that is kept for ever.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use tonic::Status;

/// Keys and sessions that one actor may create in a minute. The burst is as large.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("not zero");
/// Above this many actors, those that are below the limit again are removed.
const MAX_ACTORS: usize = 10_000;

/// Limits each actor.
pub(crate) struct CreationRateLimit {
    limiter: RateLimiter<String, HashMapStateStore<String>, MonotonicClock>,
}

impl CreationRateLimit {
    pub(crate) fn new() -> CreationRateLimit {
        let quota = Quota::per_minute(PER_MINUTE);
        CreationRateLimit { limiter: RateLimiter::hashmap_with_clock(quota, MonotonicClock) }
    }

    /// Counts one creation. RESOURCE_EXHAUSTED with a retry delay if the actor is too fast.
    pub(crate) fn check(&self, actor: &str) -> Result<(), Status> {
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
    fn an_actor_that_creates_keys_too_fast_has_to_wait_and_others_do_not() {
        let limit = CreationRateLimit::new();
        for _ in 0..PER_MINUTE.get() {
            assert!(limit.check("key_1").is_ok());
        }
        let refused = limit.check("key_1").expect_err("too fast");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(limit.check("key_2").is_ok());
    }
}

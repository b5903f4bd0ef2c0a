//! The rate limit for publishing, for each organization.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, RateLimiter};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use tonic::Status;

/// Above this many organizations, those that are below the limit again are removed.
const MAX_ORGANIZATIONS: usize = 100_000;

pub(crate) struct Quota {
    limiter: RateLimiter<OrganizationId, HashMapStateStore<OrganizationId>, MonotonicClock>,
}

impl Quota {
    pub(crate) fn new(events_per_second: NonZeroU32) -> Quota {
        let quota = governor::Quota::per_second(events_per_second);
        Quota { limiter: RateLimiter::hashmap_with_clock(quota, MonotonicClock) }
    }

    /// Counts events. RESOURCE_EXHAUSTED with a retry delay if the organization is too fast.
    pub(crate) fn take(&self, organization: &OrganizationId, events: usize) -> Result<(), Status> {
        self.forget_unlimited();
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        match self.limiter.check_key_n(organization, events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(too_fast(wait(&not_until))),
            // Never happens: this is more than the quota of a second, and a batch fits into the
            // smallest quota.
            Err(_) => Err(too_fast(Duration::from_secs(1))),
        }
    }

    /// Counts an event. Error: the organization is too fast, and how long until it may publish one.
    pub(crate) fn take_one(&self, organization: &OrganizationId) -> Result<(), Duration> {
        self.forget_unlimited();
        self.limiter.check_key(organization).map_err(|not_until| wait(&not_until))
    }

    fn forget_unlimited(&self) {
        if self.limiter.len() > MAX_ORGANIZATIONS {
            self.limiter.retain_recent();
        }
    }
}

fn wait(not_until: &NotUntil<std::time::Instant>) -> Duration {
    not_until.wait_time_from(MonotonicClock.now())
}

fn too_fast(delay: Duration) -> Status {
    let message = "the organization publishes faster than it may: nothing was accepted, send it again later and more slowly";
    let delay = delay.max(Duration::from_millis(1));
    status::resource_exhausted_for(delay, Reason::PublishQuotaExceeded, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_that_is_too_fast_gets_a_retry_delay_and_others_are_not_limited() {
        let quota = Quota::new(NonZeroU32::new(1_000).expect("not zero"));
        let fast: OrganizationId = "fast".parse().expect("an id");
        let other: OrganizationId = "other".parse().expect("an id");
        assert!(quota.take(&fast, 1_000).is_ok(), "a whole batch");
        let refused = quota.take(&fast, 1_000).expect_err("too fast");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        use tonic_types::StatusExt;
        let delay = refused.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(1)), "{delay:?}");
        assert!(quota.take(&other, 1).is_ok());
    }
}

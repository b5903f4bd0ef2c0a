//! Limits how many wrong tokens an address may send.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use keeptrusts_webhooks_process::connections::network_of;
use moka::sync::Cache;

use crate::limits::MAX_PEERS;

/// Counts wrong tokens by address. An address above the limit is blocked until the limit permits
/// another wrong token; wrong tokens meanwhile do not extend this. A blocked address can still use
/// right tokens: only the answer to wrong ones differs.
pub(crate) struct FailedLogins {
    limiter: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, MonotonicClock>,
    blocked: Cache<IpAddr, Instant>,
}

impl FailedLogins {
    /// The burst is as large as the limit of a minute.
    pub(crate) fn per_minute(failures: NonZeroU32) -> FailedLogins {
        let quota = Quota::per_minute(failures);
        let limiter = RateLimiter::hashmap_with_clock(quota, MonotonicClock);
        let blocked =
            Cache::builder().max_capacity(MAX_PEERS).time_to_live(Duration::from_secs(60)).build();
        FailedLogins { limiter, blocked }
    }

    /// How long an address is still blocked. None: it is not blocked.
    pub(crate) fn blocked_for(&self, peer: IpAddr) -> Option<Duration> {
        let until = self.blocked.get(&network_of(peer))?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Counts a wrong token.
    pub(crate) fn record(&self, peer: IpAddr) {
        let network = network_of(peer);
        if let Err(not_until) = self.limiter.check_key(&network) {
            let now = MonotonicClock.now();
            self.blocked.insert(network, now + not_until.wait_time_from(now));
        }
        // Removes addresses that are below the limit again.
        if self.limiter.len() as u64 > MAX_PEERS {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_too_many_wrong_tokens_is_blocked_for_a_while_and_others_are_not() {
        let failures = FailedLogins::per_minute(NonZeroU32::new(5).expect("not zero"));
        let peer = "192.0.2.1".parse().expect("an address");
        let other = "192.0.2.2".parse().expect("an address");
        for _ in 0..5 {
            failures.record(peer);
            assert_eq!(failures.blocked_for(peer), None);
        }
        failures.record(peer);
        let left = failures.blocked_for(peer).expect("blocked");
        assert!(left <= Duration::from_secs(12), "5 a minute is one every 12 s: {left:?}");
        assert_eq!(failures.blocked_for(other), None);
        let mapped = "::ffff:192.0.2.1".parse().expect("an address");
        assert!(failures.blocked_for(mapped).is_some(), "the same peer, written otherwise");
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }
}

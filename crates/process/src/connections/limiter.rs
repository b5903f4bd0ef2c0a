//! Limits the number of connections, in total and from each address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shares::{Pool, Purpose, Share};

/// A limit, and the flag that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// At least 1.
    pub number: u32,
    /// For log lines: `--max-connections`, for example.
    pub flag: &'static str,
}

/// Addresses share the connections: each has at most as many as are left for others, and no more
/// than its own limit.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    max: Limit,
    max_per_peer: Limit,
    pool: Arc<Pool<Holder>>,
    /// Numbers the connections of proxies.
    proxied: AtomicU64,
}

/// Who is charged for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    /// The clients at an address, or in an IPv6 network of 64 bits.
    Address(IpAddr),
    /// A single connection of a proxy, by its number: each may belong to another client.
    Proxied(u64),
}

/// One connection's permit. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held, and not read")] Share<Holder>,
);

/// A limit is reached: the one that this flag changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtLimit(pub(super) &'static str);

impl ConnectionLimiter {
    pub(super) fn new(max: Limit, max_per_peer: Limit) -> ConnectionLimiter {
        let pool = Pool::with_holder_limit(u64::from(max.number), u64::from(max_per_peer.number));
        ConnectionLimiter { max, max_per_peer, pool, proxied: AtomicU64::new(0) }
    }

    /// Takes a permit for a connection from `address`. For a proxy only the total limit counts.
    pub(super) fn take(
        &self,
        address: IpAddr,
        is_proxy: bool,
    ) -> Result<ConnectionPermit, AtLimit> {
        let holder = match is_proxy {
            true => Holder::Proxied(self.proxied.fetch_add(1, Ordering::Relaxed)),
            false => Holder::Address(network_of(address)),
        };
        let taken = self.pool.take(holder, Purpose::Other, 1);
        taken.map(ConnectionPermit).map_err(|_| {
            let has_its_own = self.pool.amount_of(&holder) >= u64::from(self.max_per_peer.number);
            AtLimit(if has_its_own { self.max_per_peer.flag } else { self.max.flag })
        })
    }
}

/// The address that a client is counted by. An IPv6 client has a whole network of 64 bits (RFC 4291
/// section 2.5.4) and could use another address each time.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn limiter(max: u32, max_per_peer: u32) -> ConnectionLimiter {
        let max_per_peer = Limit { number: max_per_peer, flag: "--max-per-peer" };
        ConnectionLimiter::new(Limit { number: max, flag: "--max" }, max_per_peer)
    }

    /// All permits that an address gets, and the flag that limits them.
    fn take_all(
        limiter: &ConnectionLimiter,
        address: IpAddr,
    ) -> (Vec<ConnectionPermit>, &'static str) {
        let mut taken = Vec::new();
        loop {
            match limiter.take(address, false) {
                Ok(permit) => taken.push(permit),
                Err(AtLimit(flag)) => return (taken, flag),
            }
        }
    }

    #[test]
    fn a_released_permit_can_be_taken_again() {
        let limiter = limiter(2, 2);
        let first = limiter.take(address("192.0.2.1"), false).expect("a permit");
        let _second = limiter.take(address("192.0.2.2"), false).expect("a permit");
        let refused = limiter.take(address("192.0.2.3"), false).expect_err("there are two");
        assert_eq!(refused, AtLimit("--max"));
        drop(first);
        limiter.take(address("192.0.2.3"), false).expect("a permit");
    }

    #[test]
    fn one_peer_cannot_take_all_permits() {
        let limiter = limiter(10, 1);
        let _first = limiter.take(address("2001:db8::1"), false).expect("a permit");
        let _mapped = limiter.take(address("::ffff:192.0.2.1"), false).expect("a permit");
        for same in ["2001:db8::1", "2001:db8::ffff:1", "192.0.2.1"] {
            let refused = limiter.take(address(same), false).expect_err("it has its permit");
            assert_eq!(refused, AtLimit("--max-per-peer"), "{same}");
        }
        limiter.take(address("2001:db8:0:1::1"), false).expect("another network");
    }

    #[test]
    fn a_few_peers_cannot_take_all_permits_however_many_each_may_have() {
        // The limits of gRPC and of the console: without shares, a few addresses with their maximum
        // would have everything.
        for (max, max_per_peer, peers) in [(4_096, 512, 9), (1_024, 256, 9), (16, 16, 4)] {
            let limiter = limiter(max, max_per_peer);
            let mut held = Vec::new();
            for peer in 1..=peers {
                let (taken, flag) = take_all(&limiter, address(&format!("192.0.2.{peer}")));
                let is_its_limit = taken.len() == max_per_peer as usize;
                assert_eq!(flag, if is_its_limit { "--max-per-peer" } else { "--max" });
                held.extend(taken);
                let newcomer = limiter.take(address("198.51.100.1"), false);
                assert!(newcomer.is_ok(), "{peer} addresses have all {max}");
            }
        }
    }

    #[test]
    fn a_proxy_has_no_limit_of_its_own_but_the_total_holds() {
        let limiter = limiter(4, 1);
        let proxy = address("192.0.2.1");
        let mut held: Vec<_> =
            (0..4).map(|_| limiter.take(proxy, true).expect("a permit")).collect();
        assert_eq!(limiter.take(proxy, true).expect_err("there are four"), AtLimit("--max"));
        held.pop();
        limiter.take(proxy, false).expect("a proxy's connections do not count for its address");
    }
}

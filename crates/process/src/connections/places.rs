//! How many connections there are, in all and from each address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shares::{Pool, Purpose, Share};

/// A limit, and the flag that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many there may be, at least 1.
    pub number: u32,
    /// For log lines: `--max-connections`, for example.
    pub flag: &'static str,
}

/// The places for connections. Addresses share them: each has at most as many as are left for
/// others, and no more than its own limit.
#[derive(Debug)]
pub(super) struct Places {
    max: Limit,
    max_per_peer: Limit,
    pool: Arc<Pool<Holder>>,
    through_proxies: AtomicU64,
}

/// Who has places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    /// Whoever is at an address, or in an IPv6 network of 64 bits.
    Address(IpAddr),
    /// A single connection of a proxy, by its number: each may be another client's.
    ThroughProxy(u64),
}

/// The place of one connection; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, and not read")] Share<Holder>);

/// There is no place, and this is the flag that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace(pub(super) &'static str);

impl Places {
    pub(super) fn new(max: Limit, max_per_peer: Limit) -> Places {
        let pool = Pool::with_limit_for_each(u64::from(max.number), u64::from(max_per_peer.number));
        Places { max, max_per_peer, pool, through_proxies: AtomicU64::new(0) }
    }

    /// A place for a connection from an address, whose share and limit do not hold for a proxy.
    pub(super) fn take(&self, address: IpAddr, is_proxy: bool) -> Result<Place, NoPlace> {
        let holder = match is_proxy {
            true => Holder::ThroughProxy(self.through_proxies.fetch_add(1, Ordering::Relaxed)),
            false => Holder::Address(network_of(address)),
        };
        let taken = self.pool.take(holder, Purpose::Other, 1);
        taken.map(Place).map_err(|_| {
            let has_its_own = self.pool.amount_of(&holder) >= u64::from(self.max_per_peer.number);
            NoPlace(if has_its_own { self.max_per_peer.flag } else { self.max.flag })
        })
    }
}

/// Whoever has one IPv6 address has a whole network of 64 bits (RFC 4291 section 2.5.4), and
/// would be nobody twice.
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

    fn places(max: u32, max_per_peer: u32) -> Places {
        let max_per_peer = Limit { number: max_per_peer, flag: "--max-per-peer" };
        Places::new(Limit { number: max, flag: "--max" }, max_per_peer)
    }

    /// As many places as an address gets, and the flag that says why there are no more.
    fn take_all(places: &Places, address: IpAddr) -> (Vec<Place>, &'static str) {
        let mut taken = Vec::new();
        loop {
            match places.take(address, false) {
                Ok(place) => taken.push(place),
                Err(NoPlace(flag)) => return (taken, flag),
            }
        }
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let places = places(2, 2);
        let first = places.take(address("192.0.2.1"), false).expect("a place");
        let _second = places.take(address("192.0.2.2"), false).expect("a place");
        let refused = places.take(address("192.0.2.3"), false).expect_err("there are two");
        assert_eq!(refused, NoPlace("--max"));
        drop(first);
        places.take(address("192.0.2.3"), false).expect("a place");
    }

    #[test]
    fn one_peer_cannot_take_all_places() {
        let places = places(10, 1);
        let _first = places.take(address("2001:db8::1"), false).expect("a place");
        let _mapped = places.take(address("::ffff:192.0.2.1"), false).expect("a place");
        for same in ["2001:db8::1", "2001:db8::ffff:1", "192.0.2.1"] {
            let refused = places.take(address(same), false).expect_err("it has its place");
            assert_eq!(refused, NoPlace("--max-per-peer"), "{same}");
        }
        places.take(address("2001:db8:0:1::1"), false).expect("another network");
    }

    #[test]
    fn a_few_peers_cannot_take_all_places_however_many_each_may_have() {
        // The limits of gRPC and of the console: a few addresses with all that each may have would
        // have all.
        for (max, max_per_peer, peers) in [(4_096, 512, 9), (1_024, 256, 9), (16, 16, 4)] {
            let places = places(max, max_per_peer);
            let mut held = Vec::new();
            for peer in 1..=peers {
                let (taken, flag) = take_all(&places, address(&format!("192.0.2.{peer}")));
                let is_its_limit = taken.len() == max_per_peer as usize;
                assert_eq!(flag, if is_its_limit { "--max-per-peer" } else { "--max" });
                held.extend(taken);
                let newcomer = places.take(address("198.51.100.1"), false);
                assert!(newcomer.is_ok(), "{peer} addresses have all {max}");
            }
        }
    }

    #[test]
    fn a_proxy_stands_for_many_but_not_for_more_than_all() {
        let places = places(4, 1);
        let proxy = address("192.0.2.1");
        let mut held: Vec<_> = (0..4).map(|_| places.take(proxy, true).expect("a place")).collect();
        assert_eq!(places.take(proxy, true).expect_err("there are four"), NoPlace("--max"));
        held.pop();
        places.take(proxy, false).expect("its connections did not count as a peer's");
    }
}

//! How many connections there are, in all and from each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A limit, and the flag that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many there may be, at least 1.
    pub number: u32,
    /// For log lines: `--max-connections`, for example.
    pub flag: &'static str,
}

/// The places for connections.
#[derive(Debug)]
pub(super) struct Places {
    max: Limit,
    max_per_peer: Limit,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_peer: HashMap<IpAddr, u32>,
}

/// The place of one connection; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// None: it counts in all only.
    peer: Option<IpAddr>,
}

/// There is no place, and this is the flag that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace(pub(super) &'static str);

impl Places {
    pub(super) fn new(max: Limit, max_per_peer: Limit) -> Arc<Places> {
        Arc::new(Places { max, max_per_peer, taken: Mutex::default() })
    }

    /// A place for a connection from an address, whose own limit does not hold for a proxy.
    pub(super) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        is_proxy: bool,
    ) -> Result<Place, NoPlace> {
        let peer = (!is_proxy).then(|| network_of(address));
        let mut taken = self.taken();
        if taken.all >= self.max.number {
            return Err(NoPlace(self.max.flag));
        }
        if let Some(peer) = peer {
            let of_peer = taken.by_peer.entry(peer).or_default();
            // An entry is at least 1, unless it has just been made; and the limit is at least 1.
            if *of_peer >= self.max_per_peer.number {
                return Err(NoPlace(self.max_per_peer.flag));
            }
            *of_peer += 1;
        }
        taken.all += 1;
        Ok(Place { places: Arc::clone(self), peer })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        let Some(peer) = self.peer else { return };
        if let Some(of_peer) = taken.by_peer.get_mut(&peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.by_peer.remove(&peer);
            }
        }
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

    fn places(max: u32, max_per_peer: u32) -> Arc<Places> {
        let max_per_peer = Limit { number: max_per_peer, flag: "--max-per-peer" };
        Places::new(Limit { number: max, flag: "--max" }, max_per_peer)
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
        assert_eq!(places.taken().by_peer.len(), 1, "nobody is remembered for ever");
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
    fn a_proxy_stands_for_many_but_not_for_more_than_all() {
        let places = places(2, 1);
        let proxy = address("192.0.2.1");
        let first = places.take(proxy, true).expect("a place");
        let _second = places.take(proxy, true).expect("a place");
        assert_eq!(places.take(proxy, true).expect_err("there are two"), NoPlace("--max"));
        drop(first);
        places.take(proxy, false).expect("its connections did not count as a peer's");
    }
}

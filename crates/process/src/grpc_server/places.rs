//! How many connections there are, in all and from each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places for connections.
#[derive(Debug)]
pub(super) struct Places {
    max: u32,
    max_per_peer: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_peer: HashMap<IpAddr, u32>,
}

/// The place of one connection; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

/// There is no place, and this is the flag that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace(pub(super) &'static str);

impl Places {
    pub(super) fn new(max: u32, max_per_peer: u32) -> Arc<Places> {
        Arc::new(Places { max, max_per_peer, taken: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        let peer = network_of(address);
        let mut taken = self.taken();
        if taken.all >= self.max {
            return Err(NoPlace("--max-connections"));
        }
        let of_peer = taken.by_peer.entry(peer).or_default();
        // An entry is at least 1, unless it has just been made; and the limit is at least 1.
        if *of_peer >= self.max_per_peer {
            return Err(NoPlace("--max-connections-per-peer"));
        }
        *of_peer += 1;
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
        if let Some(of_peer) = taken.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Whoever has one IPv6 address has a whole network of 64 bits (RFC 4291 section 2.5.4), and
/// would be nobody twice.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
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

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let places = Places::new(2, 2);
        let first = places.take(address("192.0.2.1")).expect("a place");
        let _second = places.take(address("192.0.2.2")).expect("a place");
        let refused = places.take(address("192.0.2.3")).expect_err("there are two");
        assert_eq!(refused, NoPlace("--max-connections"));
        drop(first);
        places.take(address("192.0.2.3")).expect("a place");
        assert_eq!(places.taken().by_peer.len(), 1, "nobody is remembered for ever");
    }

    #[test]
    fn one_peer_cannot_take_all_places() {
        let places = Places::new(10, 1);
        let _first = places.take(address("2001:db8::1")).expect("a place");
        let _mapped = places.take(address("::ffff:192.0.2.1")).expect("a place");
        for same in ["2001:db8::1", "2001:db8::ffff:1", "192.0.2.1"] {
            let refused = places.take(address(same)).expect_err("it has its place");
            assert_eq!(refused, NoPlace("--max-connections-per-peer"), "{same}");
        }
        places.take(address("2001:db8:0:1::1")).expect("another network");
    }
}

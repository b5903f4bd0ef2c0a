//! The order in which the addresses of a name are tried.
//!
//! Connections start at the addresses in rotation, so that the load is spread. An address that
//! failed is tried last for a while. Failures are remembered per name, so that the owner of one
//! name cannot make another's address look bad. IPv4 comes before IPv6 unless it failed: every
//! public receiver can be reached by IPv4, and not every server has IPv6.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use tokio::time::Instant;

use crate::limits::{
    FAILED_ADDRESS_MEMORY, MAX_ADDRESSES_KNOWN, MAX_ADDRESSES_TRIED, NAMES_REMEMBERED,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameAndPort(String, u16);

impl NameAndPort {
    pub(crate) fn new(name: &str, port: u16) -> Self {
        Self(name.to_ascii_lowercase(), port)
    }
}

/// The rotation of each name. Names that are not used for a while are forgotten.
pub(crate) struct AddressRotations(Cache<NameAndPort, Arc<AddressRotation>>);

impl Default for AddressRotations {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(NAMES_REMEMBERED)
                .time_to_idle(FAILED_ADDRESS_MEMORY)
                .build(),
        )
    }
}

impl AddressRotations {
    pub(crate) fn of(&self, name: NameAndPort) -> Arc<AddressRotation> {
        self.0.get_with(name, Arc::default)
    }
}

/// The rotation and the failures of one name's addresses.
#[derive(Default)]
pub(crate) struct AddressRotation(Mutex<Known>);

#[derive(Default)]
struct Known {
    turn: usize,
    failed: HashMap<SocketAddr, Instant>,
}

impl AddressRotation {
    /// The order for the next connection, of at most [`MAX_ADDRESSES_TRIED`].
    pub(crate) fn next_order(&self, addresses: Vec<SocketAddr>, now: Instant) -> Vec<SocketAddr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = known.turn;
        known.turn = turn.wrapping_add(1);
        known.failed.retain(|_, at| now.duration_since(*at) < FAILED_ADDRESS_MEMORY);
        let rotated = |is_wanted: fn(&SocketAddr) -> bool| {
            let mut wanted: Vec<_> = addresses.iter().copied().filter(is_wanted).collect();
            if let Some(by) = turn.checked_rem(wanted.len()) {
                wanted.rotate_left(by);
            }
            wanted
        };
        let mut ordered = [rotated(SocketAddr::is_ipv4), rotated(SocketAddr::is_ipv6)].concat();
        // The sort is stable: addresses that have not failed keep their order, and the oldest failure
        // comes right after them.
        ordered.sort_by_key(|address| known.failed.get(address).copied());
        ordered.truncate(MAX_ADDRESSES_TRIED);
        ordered
    }

    pub(crate) fn tried(&self, address: SocketAddr, has_failed: bool, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match has_failed {
            true if known.failed.len() < MAX_ADDRESSES_KNOWN => {
                known.failed.insert(address, now);
            }
            true => {}
            false => _ = known.failed.remove(&address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 443))
    }

    #[tokio::test(start_paused = true)]
    async fn connections_begin_at_one_address_after_the_other() {
        let known = AddressRotation::default();
        let now = Instant::now();
        let firsts: Vec<_> =
            (0..4).map(|_| known.next_order(vec![v4(1), v4(2), v4(3), v6(1)], now)[0]).collect();
        assert_eq!(firsts, [v4(1), v4(2), v4(3), v4(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_even_if_there_are_more_than_the_limit() {
        let known = AddressRotation::default();
        let all: Vec<_> = (1..=9).map(v4).collect();
        let mut tried: Vec<_> =
            (0..9).flat_map(|_| known.next_order(all.clone(), Instant::now())).collect();
        assert_eq!(tried.len(), 9 * MAX_ADDRESSES_TRIED);
        tried.sort();
        tried.dedup();
        assert_eq!(tried, all);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_is_last_for_a_while_and_the_next_is_first_again() {
        let known = AddressRotation::default();
        known.tried(v4(1), true, Instant::now());
        for _ in 0..4 {
            let ordered = known.next_order(vec![v4(1), v4(2), v6(1)], Instant::now());
            assert_eq!(ordered, [v4(2), v6(1), v4(1)]);
        }
        tokio::time::advance(FAILED_ADDRESS_MEMORY).await;
        let ordered = known.next_order(vec![v4(1), v4(2)], Instant::now());
        assert_eq!(ordered, [v4(1), v4(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_works_again_is_back_in_the_rotation() {
        let known = AddressRotation::default();
        known.tried(v4(1), true, Instant::now());
        known.tried(v4(1), false, Instant::now());
        assert_eq!(known.next_order(vec![v4(1), v4(2)], Instant::now())[0], v4(1));
    }

    #[test]
    fn names_are_case_insensitive_and_each_port_has_its_own_rotation() {
        let book = AddressRotations::default();
        let of = |name, port| book.of(NameAndPort::new(name, port));
        assert!(Arc::ptr_eq(&of("a.example", 443), &of("A.Example", 443)));
        assert!(!Arc::ptr_eq(&of("a.example", 443), &of("a.example", 8443)));
    }
}

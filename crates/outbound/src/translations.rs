//! IPv6 addresses that stand for IPv4 addresses: connecting to one reaches the other.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::special_networks::{NAT64_LOCAL_USE, NAT64_WELL_KNOWN, v6};

/// Extracts an IPv4 address from the bits of an IPv6 address.
type Reading = fn(u128) -> u32;

/// Networks whose addresses stand for IPv4 addresses. IPv4-mapped addresses are not here: the socket
/// itself connects to the IPv4 address.
const NETWORKS: &[(Ipv6Net, Reading)] = &[
    // RFC 4291 section 2.5.5.1, IPv4-compatible.
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), last_32_bits),
    // RFC 2765 section 2.1, IPv4-translated.
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), last_32_bits),
    (NAT64_WELL_KNOWN, last_32_bits),
    // RFC 3056 section 2, 6to4: the router.
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), |bits| (bits >> 80) as u32),
    // RFC 4380 section 4, Teredo: the client, whose bits are inverted, and its server.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), |bits| !last_32_bits(bits)),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), |bits| (bits >> 64) as u32),
];

/// `::`, `::1` and their neighbours look IPv4-compatible but are not (RFC 4291 section 2.5.5.1).
const UNSPECIFIED_OR_LOOPBACK: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 104);

/// The lengths that a translator's prefix may have, with the reading for each (RFC 6052 section
/// 2.2). A translator ignores the octet at bit 64 and what follows the address.
const TRANSLATOR_PREFIXES: &[(u8, Reading)] = &[
    (32, |bits| (without_octet_at_64(bits) >> 56) as u32),
    (40, |bits| (without_octet_at_64(bits) >> 48) as u32),
    (48, |bits| (without_octet_at_64(bits) >> 40) as u32),
    (56, |bits| (without_octet_at_64(bits) >> 32) as u32),
    (64, |bits| (without_octet_at_64(bits) >> 24) as u32),
    (96, last_32_bits),
];

/// What `address` stands for on a network where all of `allowed` may be reached. Several addresses
/// if it contains several, or if the length of the translator's prefix is not known: the prefix is
/// then in `allowed`, and so at least as long.
///
/// Empty if `address` stands for nothing but itself.
pub(crate) fn stands_for(address: Ipv6Addr, allowed: Ipv6Net) -> Vec<Ipv4Addr> {
    let of_network = NETWORKS
        .iter()
        .filter(|(network, _)| network.contains(&address))
        .filter(|_| !UNSPECIFIED_OR_LOOPBACK.contains(&address))
        .map(|(_, reading)| *reading);
    let of_translator = TRANSLATOR_PREFIXES
        .iter()
        .filter(|(length, _)| *length >= NAT64_LOCAL_USE.prefix_len())
        .filter(|(length, _)| *length >= allowed.prefix_len().min(96))
        .filter(|_| NAT64_LOCAL_USE.contains(&address))
        .map(|(_, reading)| *reading);
    let of_isatap = is_isatap(address).then_some(last_32_bits as Reading);
    read(address, of_network.chain(of_translator).chain(of_isatap)).collect()
}

/// Everything that `address` could stand for on any network, with a translator under any prefix. For
/// the few addresses that must not be reached by accident.
pub(crate) fn could_stand_for(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let readings = NETWORKS
        .iter()
        .filter(move |(network, _)| network.contains(&address))
        .map(|(_, reading)| *reading)
        .chain(TRANSLATOR_PREFIXES.iter().map(|(_, reading)| *reading));
    read(address, readings)
}

fn read(
    address: Ipv6Addr,
    readings: impl Iterator<Item = Reading>,
) -> impl Iterator<Item = Ipv4Addr> {
    readings.map(move |reading| Ipv4Addr::from_bits(reading(address.to_bits())))
}

/// Whether the interface identifier is ISATAP's (RFC 5214 section 6.1): whatever the prefix is, the
/// site's router sends such a packet to the IPv4 address at its end.
fn is_isatap(address: Ipv6Addr) -> bool {
    // 0x200 is set if the IPv4 address is globally unique.
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

fn last_32_bits(bits: u128) -> u32 {
    bits as u32
}

fn without_octet_at_64(bits: u128) -> u128 {
    let before = bits >> 64;
    let after = bits & ((1 << 56) - 1);
    (before << 56) | after
}

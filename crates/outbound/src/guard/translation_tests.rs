#![allow(clippy::unwrap_used)]

//! Addresses that stand for others are checked by the other address, whatever is allowed.

use super::tests::{guard_allowing, is_permitted};
use super::*;

/// A way to write an IPv4 address as an IPv6 address.
struct Spelling {
    /// All addresses that are written so, and with them the prefix.
    network: &'static str,
    write: fn(u128) -> u128,
}

const fn spelling(network: &'static str, write: fn(u128) -> u128) -> Spelling {
    Spelling { network, write }
}

/// The socket itself connects to the IPv4 address.
const MAPPED: Spelling = spelling("::ffff:0:0/96", |v4| v4);

/// Bits 64 to 71 are no part of the address (RFC 6052 section 2.2).
const SPELLINGS: &[Spelling] = &[
    spelling("::/96", |v4| v4),
    spelling("::ffff:0:0:0/96", |v4| v4),
    spelling("64:ff9b::/96", |v4| v4),
    spelling("64:ff9b:1::/48", |v4| ((v4 >> 16) << 64) | ((v4 & 0xffff) << 40)),
    spelling("64:ff9b:1:a00::/56", |v4| ((v4 >> 24) << 64) | ((v4 & 0xff_ffff) << 32)),
    spelling("64:ff9b:1:a0a::/64", |v4| v4 << 24),
    spelling("64:ff9b:1:a0a::/96", |v4| v4),
    spelling("64:ff9b:1::/96", |v4| v4),
    spelling("2002::/16", |v4| (v4 << 80) | 1),
    spelling("2001::/32", |v4| (0x0808_0808 << 64) | (v4 ^ 0xffff_ffff)),
    spelling("2001::/32", |v4| (v4 << 64) | (0x0808_0808 ^ 0xffff_ffff)),
    spelling("fd00::5efe:0:0/96", |v4| v4),
    spelling("2606:4700::200:5efe:0:0/96", |v4| v4),
];

/// Prefixes of translators that look like those of ordinary networks.
const OWN_PREFIXES: &[Spelling] = &[
    spelling("fd64:9b::/32", |v4| v4 << 64),
    spelling("fd64:9b00::/40", |v4| ((v4 >> 8) << 64) | ((v4 & 0xff) << 48)),
    spelling("2606:4700:64::/48", |v4| ((v4 >> 16) << 64) | ((v4 & 0xffff) << 40)),
    spelling("2606:4700:64::/56", |v4| ((v4 >> 24) << 64) | ((v4 & 0xff_ffff) << 32)),
    spelling("fd64::/64", |v4| v4 << 24),
    spelling("fd64::/96", |v4| v4),
];

impl Spelling {
    fn network(&self) -> Ipv6Net {
        self.network.parse().unwrap()
    }

    fn of(&self, address: Ipv4Addr) -> IpAddr {
        let spelled = self.network().addr().to_bits() | (self.write)(address.to_bits().into());
        IpAddr::V6(Ipv6Addr::from_bits(spelled))
    }
}

/// The edges of every special network but "this network", which no translator takes a packet to.
fn special_addresses() -> impl Iterator<Item = Ipv4Addr> {
    let edges = IPV4.iter().flat_map(|(network, _)| [network.network(), network.broadcast()]);
    edges.chain(metadata()).filter(|address| address.octets()[0] != 0)
}

fn metadata() -> impl Iterator<Item = Ipv4Addr> {
    CLOUD_METADATA.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

#[test]
fn allowing_a_network_opens_no_translated_form_of_a_special_address() {
    for spelling in SPELLINGS {
        for meant in special_addresses() {
            let spelled = spelling.of(meant);
            for allowed in [spelling.network, "::/0", "::/1"] {
                let guard = guard_allowing(&[allowed]);
                assert!(guard.check(spelled).is_err(), "{spelled} for {meant} by {allowed}");
            }
        }
    }
}

#[test]
fn a_translated_address_is_permitted_if_both_of_its_forms_are_allowed() {
    for spelling in SPELLINGS {
        let guard = guard_allowing(&[spelling.network, "10.0.0.0/8"]);
        let permitted = spelling.of(Ipv4Addr::new(10, 20, 0, 1));
        assert_eq!(guard.check(permitted), Ok(()));
        let other = spelling.of(Ipv4Addr::new(127, 0, 0, 1));
        assert!(guard.check(other).is_err(), "{other}");
    }
}

#[test]
fn translated_public_addresses_in_an_allowed_network_are_permitted() {
    for spelling in SPELLINGS {
        let spelled = spelling.of(Ipv4Addr::new(8, 8, 8, 8));
        assert_eq!(guard_allowing(&[spelling.network]).check(spelled), Ok(()));
    }
}

#[test]
fn a_metadata_address_is_refused_behind_every_prefix() {
    for spelling in SPELLINGS.iter().chain(OWN_PREFIXES).chain([&MAPPED]) {
        for meant in metadata() {
            let spelled = spelling.of(meant);
            for allowed in [&[][..], &[spelling.network], &["::/0", "0.0.0.0/0"]] {
                let refused = guard_allowing(allowed).check(spelled).unwrap_err();
                assert_eq!(refused.reason, "cloud metadata address", "{spelled} for {meant}");
            }
            let by_itself = IpNet::from(spelled).to_string();
            assert!(is_permitted(&guard_allowing(&[&by_itself]), &spelled.to_string()));
        }
    }
}

#[test]
fn a_metadata_address_behind_a_prefix_is_permitted_if_the_ipv4_address_is_allowed() {
    let guard = guard_allowing(&["64:ff9b::/96", "169.254.169.254/32"]);
    assert!(is_permitted(&guard, "64:ff9b::169.254.169.254"));
    assert!(!is_permitted(&guard, "64:ff9b::169.254.170.2"));
}

#[test]
fn a_mapped_network_is_the_ipv4_network() {
    let guard = guard_allowing(&["::ffff:10.0.0.0/104"]);
    assert!(is_permitted(&guard, "10.1.2.3"));
    assert!(is_permitted(&guard, "::ffff:10.1.2.3"));
    assert!(!is_permitted(&guard, "::ffff:127.0.0.1"));
    for meant in special_addresses() {
        assert!(guard_allowing(&["::/0"]).check(MAPPED.of(meant)).is_err(), "{meant}");
    }
}

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;
use crate::special_networks;

/// Addresses that are refused by default, with the reason; the edges of each network.
const REFUSED: &[(&str, &str)] = &[
    ("0.0.0.0", "unspecified address"),
    ("0.0.0.1", "address of \"this network\""),
    ("0.255.255.255", "address of \"this network\""),
    ("10.0.0.0", "private address"),
    ("10.1.2.3", "private address"),
    ("10.255.255.255", "private address"),
    ("100.64.0.0", "carrier-grade NAT address"),
    ("100.100.100.200", "cloud metadata address"),
    ("100.127.255.255", "carrier-grade NAT address"),
    ("127.0.0.1", "loopback address"),
    ("127.0.0.0", "loopback address"),
    ("127.255.255.254", "loopback address"),
    ("168.63.129.16", "cloud metadata address"),
    ("169.254.0.1", "link-local address"),
    ("169.254.169.254", "cloud metadata address"),
    ("169.254.42.42", "cloud metadata address"),
    ("169.254.170.2", "cloud metadata address"),
    ("169.254.170.23", "cloud metadata address"),
    ("169.254.169.253", "link-local address"),
    ("169.254.255.255", "link-local address"),
    ("172.16.0.0", "private address"),
    ("172.31.255.255", "private address"),
    ("192.0.0.0", "IETF protocol assignment"),
    ("192.0.0.192", "cloud metadata address"),
    ("192.0.0.255", "IETF protocol assignment"),
    ("192.0.2.1", "documentation address"),
    ("192.88.99.1", "6to4 relay anycast address"),
    ("192.168.0.0", "private address"),
    ("192.168.255.255", "private address"),
    ("198.18.0.0", "benchmarking address"),
    ("198.19.255.255", "benchmarking address"),
    ("198.51.100.1", "documentation address"),
    ("203.0.113.255", "documentation address"),
    ("224.0.0.1", "multicast address"),
    ("239.255.255.255", "multicast address"),
    ("240.0.0.0", "reserved address"),
    ("255.255.255.254", "reserved address"),
    ("255.255.255.255", "broadcast address"),
    ("::", "unspecified address"),
    ("::1", "loopback address"),
    ("::2", "IPv4-compatible address (deprecated)"),
    ("::127.0.0.1", "IPv4-compatible address (deprecated)"),
    ("::8.8.8.8", "IPv4-compatible address (deprecated)"),
    ("::ffff:0.0.0.0", "unspecified address"),
    ("::ffff:127.0.0.1", "loopback address"),
    ("::ffff:10.0.0.1", "private address"),
    ("::ffff:169.254.169.254", "cloud metadata address"),
    ("::ffff:a9fe:a9fe", "cloud metadata address"),
    ("::ffff:0:127.0.0.1", "not a global unicast address"),
    ("64:ff9b::127.0.0.1", "loopback address"),
    ("64:ff9b::10.0.0.1", "private address"),
    ("64:ff9b::169.254.169.254", "cloud metadata address"),
    ("64:ff9b:0:0:0:1:808:808", "not a global unicast address"),
    ("64:ff9b:1::", "local NAT64 address"),
    ("64:ff9b:1::8.8.8.8", "local NAT64 address"),
    ("64:ff9b:1::169.254.169.254", "cloud metadata address"),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64 address"),
    ("100::", "discard-only address"),
    ("100::ffff:ffff:ffff:ffff", "discard-only address"),
    ("100:0:0:1::1", "dummy address"),
    ("2001::", "Teredo address"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo address"),
    ("2001:1::1", "IETF protocol assignment"),
    ("2001:2::1", "benchmarking address"),
    ("2001:10::1", "ORCHID identifier"),
    ("2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHID identifier"),
    ("2001:20::1", "ORCHIDv2 identifier"),
    ("2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHIDv2 identifier"),
    ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "IETF protocol assignment"),
    ("2001:db8::1", "documentation address"),
    ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation address"),
    ("2002::1", "6to4 address"),
    ("2002:7f00:1::1", "6to4 address"),
    ("2002:808:808::1", "6to4 address"),
    ("2002:a9fe:a9fe::1", "cloud metadata address"),
    ("2606:4700::5efe:10.0.0.1", "private address"),
    ("2606:4700::200:5efe:127.0.0.1", "loopback address"),
    ("2606:4700::5efe:169.254.169.254", "cloud metadata address"),
    ("fe80::5efe:8.8.8.8", "link-local address"),
    ("3fff::1", "documentation address"),
    ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation address"),
    ("4000::1", "not a global unicast address"),
    ("5f00::1", "SRv6 segment identifier"),
    ("fc00::1", "unique local address"),
    ("fd00:ec2::254", "cloud metadata address"),
    ("fd00:ec2::23", "cloud metadata address"),
    ("fd00:42::42", "cloud metadata address"),
    ("fd20:ce::254", "cloud metadata address"),
    ("fe80::a9fe:a9fe", "cloud metadata address"),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local address"),
    ("fe00::1", "not a global unicast address"),
    ("fe80::1", "link-local address"),
    ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local address"),
    ("fec0::1", "site-local address (deprecated)"),
    ("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local address (deprecated)"),
    ("ff02::1", "multicast address"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast address"),
];

/// Addresses that are permitted by default; the neighbours of what is refused.
const PERMITTED: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.196.1",
    "192.88.98.255",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2003::1",
    "2606:4700:4700::1111",
    "2606:4700::5efe:8.8.8.8",
    "2606:4700::100:5efe:10.0.0.1",
    "2620:4f:8000::1",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
];

pub(super) fn guard_allowing(networks: &[&str]) -> AddressGuard {
    AddressGuard::new(networks.iter().map(|n| n.parse().unwrap()).collect())
}

pub(super) fn is_permitted(guard: &AddressGuard, address: &str) -> bool {
    guard.check(address.parse().unwrap()).is_ok()
}

#[test]
fn special_purpose_addresses_are_refused_with_their_reason() {
    let guard = AddressGuard::default();
    for (address, reason) in REFUSED {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(guard.check(address), Err(RefusedAddress { address, reason }));
    }
}

#[test]
fn public_addresses_are_permitted() {
    let guard = AddressGuard::default();
    for address in PERMITTED {
        assert!(is_permitted(&guard, address), "{address}");
    }
}

#[test]
fn every_reason_in_the_tables_has_a_test_vector() {
    let tested: BTreeSet<&str> = REFUSED.iter().map(|(_, reason)| *reason).collect();
    let v4 = special_networks::IPV4.iter().map(|(_, reason)| *reason);
    let v6 = special_networks::IPV6.iter().map(|(_, reason)| *reason);
    for reason in v4.chain(v6) {
        assert!(tested.contains(reason), "{reason}");
    }
}

#[test]
fn networks_in_the_tables_have_no_bits_outside_their_prefix() {
    for (network, reason) in special_networks::IPV4 {
        assert_eq!(*network, network.trunc(), "{reason}");
    }
    for (network, reason) in special_networks::IPV6 {
        assert_eq!(*network, network.trunc(), "{reason}");
    }
}

#[test]
fn allowing_a_network_opens_nothing_else() {
    let guard = guard_allowing(&["10.20.0.0/16", "fd00:1::/32", "2002::/16"]);
    for address in ["10.20.0.1", "10.20.255.255", "fd00:1::1", "2002:808:808::1"] {
        assert!(is_permitted(&guard, address), "{address}");
    }
    for address in ["10.19.255.255", "10.21.0.0", "fd00:2::1", "127.0.0.1"] {
        assert!(!is_permitted(&guard, address), "{address}");
    }
}

#[test]
fn an_allowed_ipv4_network_covers_its_mapped_form_but_no_translated_one() {
    let guard = guard_allowing(&["10.20.0.0/16"]);
    assert!(is_permitted(&guard, "::ffff:10.20.0.1"));
    assert!(!is_permitted(&guard, "::ffff:10.21.0.1"));
    assert!(!is_permitted(&guard, "::10.20.0.1"));
    assert!(!is_permitted(&guard, "64:ff9b::10.20.0.1"));
    assert!(!is_permitted(&guard, "2002:a14:1::1"));
}

#[test]
fn allowing_everything_of_one_family_leaves_the_other_guarded() {
    let ipv4_only = guard_allowing(&["0.0.0.0/0"]);
    assert!(is_permitted(&ipv4_only, "127.0.0.1"));
    assert!(!is_permitted(&ipv4_only, "::1"));

    let ipv6_only = guard_allowing(&["::/0"]);
    assert!(is_permitted(&ipv6_only, "::1"));
    assert!(!is_permitted(&ipv6_only, "127.0.0.1"));
}

#[test]
fn a_metadata_address_is_permitted_by_itself_and_not_by_a_wider_network() {
    for (wide, exact, address) in [
        ("100.64.0.0/10", "100.100.100.200/32", "100.100.100.200"),
        ("169.254.169.254/31", "169.254.169.254/32", "::ffff:169.254.169.254"),
        ("0.0.0.0/0", "168.63.129.16/32", "168.63.129.16"),
        ("fd00::/8", "fd00:ec2::254/128", "fd00:ec2::254"),
    ] {
        assert!(!is_permitted(&guard_allowing(&[wide]), address), "{address} in {wide}");
        assert!(is_permitted(&guard_allowing(&[wide, exact]), address), "{address}");
    }
    assert!(is_permitted(&guard_allowing(&["100.64.0.0/10"]), "100.100.100.201"));
}

#[test]
fn a_refusal_says_how_to_permit_the_address() {
    let refusal = |address: &str| {
        let address = address.parse().unwrap();
        AddressGuard::default().check(address).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("127.0.0.1"),
        "refused to connect to 127.0.0.1: loopback address \
         (an operator can permit it with --allow-network 127.0.0.1/32)"
    );
    assert_eq!(
        refusal("fd00::1"),
        "refused to connect to fd00::1: unique local address \
         (an operator can permit it with --allow-network fd00::1/128)"
    );
}

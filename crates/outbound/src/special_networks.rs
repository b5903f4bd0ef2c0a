//! Networks whose addresses are not ordinary public ones, and what they are for.
//!
//! From the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), as of
//! 2025, and the address architecture itself (RFC 4291, RFC 5771). The registries also list a
//! few networks that are globally reachable by design, such as AS112's (RFC 7534, RFC 7535) and
//! AMT's (RFC 7450); those are not here.
//!
//! Within a table the first match gives the reason, so narrow networks stand before wide ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Where clouds give configuration and credentials to anyone who asks from inside. From the clouds'
/// own documentation; most of them are in networks that are refused anyway.
///
/// They are listed apart, because allowing a wide network must not open them by accident:
/// `100.64.0.0/10` may be an operator's VPN, and one of its addresses is Alibaba's.
pub(crate) const CLOUD_METADATA: &[IpAddr] = &[
    // AWS, Azure, Google, Oracle, OpenStack and most others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // AWS: credentials of containers, of ECS and of EKS.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Azure: a public address that, inside, is answered by the host of the virtual machine.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle, besides the common one.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Scaleway.
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// IPv4 networks that are refused.
pub(crate) const IPV4: &[(Ipv4Net, &str)] = &[
    // RFC 791 section 3.2. Linux connects 0.0.0.0 to itself.
    (v4([0, 0, 0, 0], 32), "unspecified address"),
    (v4([0, 0, 0, 0], 8), "address of \"this network\""),
    // RFC 1918 section 3.
    (v4([10, 0, 0, 0], 8), "private address"),
    (v4([172, 16, 0, 0], 12), "private address"),
    (v4([192, 168, 0, 0], 16), "private address"),
    // RFC 6598 section 7.
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT address"),
    // RFC 1122 section 3.2.1.3.
    (v4([127, 0, 0, 0], 8), "loopback address"),
    // RFC 3927 section 2.1.
    (v4([169, 254, 0, 0], 16), "link-local address"),
    // RFC 6890 section 2.1.
    (v4([192, 0, 0, 0], 24), "IETF protocol assignment"),
    // RFC 5737 section 3.
    (v4([192, 0, 2, 0], 24), "documentation address"),
    (v4([198, 51, 100, 0], 24), "documentation address"),
    (v4([203, 0, 113, 0], 24), "documentation address"),
    // RFC 7526 section 4.
    (v4([192, 88, 99, 0], 24), "6to4 relay anycast address"),
    // RFC 2544 appendix C.2.2.
    (v4([198, 18, 0, 0], 15), "benchmarking address"),
    // RFC 5771 section 3.
    (v4([224, 0, 0, 0], 4), "multicast address"),
    // RFC 919 section 7.
    (v4([255, 255, 255, 255], 32), "broadcast address"),
    // RFC 1112 section 4.
    (v4([240, 0, 0, 0], 4), "reserved address"),
];

/// IPv6 networks that are refused, apart from those that carry an IPv4 address, which is checked.
pub(crate) const IPV6: &[(Ipv6Net, &str)] = &[
    // RFC 4291 sections 2.5.2, 2.5.3 and 2.5.5.1.
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified address"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback address"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible address (deprecated)"),
    (NAT64_LOCAL_USE, "local NAT64 address"),
    // RFC 6666, RFC 9780.
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard-only address"),
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "dummy address"),
    // RFC 4380: the IPv4 address inside is reached by way of a relay, out of our sight.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo address"),
    // RFC 5180 section 8.
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "benchmarking address"),
    // RFC 4843 (deprecated) and RFC 7343: identifiers, which no router routes.
    (v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), "ORCHID identifier"),
    (v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), "ORCHIDv2 identifier"),
    // RFC 2928.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "IETF protocol assignment"),
    // RFC 3849, RFC 9637.
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation address"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation address"),
    // RFC 3056; RFC 7526 retired its relays.
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4 address"),
    // RFC 9602.
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "SRv6 segment identifier"),
    // RFC 4193.
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local address"),
    // RFC 4291 section 2.5.6.
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local address"),
    // RFC 3879.
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local address (deprecated)"),
    // RFC 4291 section 2.7.
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast address"),
];

/// The well-known prefix of NAT64 (RFC 6052 section 2.1): the last 32 bits are an IPv4 address.
pub(crate) const NAT64_WELL_KNOWN: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// The prefix of a network's own translators, which have longer prefixes of any length (RFC 8215).
/// They may lead to private IPv4 addresses.
pub(crate) const NAT64_LOCAL_USE: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);

/// The only IPv6 space from which IANA allocates public addresses (RFC 4291 section 2.4 and the
/// IANA IPv6 Address Space registry).
pub(crate) const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4([a, b, c, d]: [u8; 4], prefix_length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length)
}

pub(crate) const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix_length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix_length)
}

//! Decides which IP addresses may be connected to.
//!
//! Webhook URLs are chosen by customers, so a URL may name, directly or through DNS, a service
//! that only we can reach: a database on loopback, a neighbour on a private network, a cloud's
//! metadata service. The guard judges addresses, not names, and it judges them at connect time,
//! because a name that was checked before can point elsewhere by now (DNS rebinding).
//!
//! A network may translate IPv6 to IPv4 under a prefix of its own choice (RFC 6052 section 2.2).
//! Such a prefix cannot be told from other public addresses, and what it may reach is for its
//! gateway to limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::special_networks::{CLOUD_METADATA, GLOBAL_UNICAST_V6, IPV4, IPV6, NAT64_WELL_KNOWN};

/// Refuses addresses outside the public Internet, with configured exceptions.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<IpNet>,
}

/// An address that must not be connected to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused to connect to {address}: {reason} (an operator can permit it with --allow-network {address}/{prefix})",
    prefix = if address.is_ipv4() { 32 } else { 128 }
)]
pub struct RefusedAddress {
    /// The address as it was given or resolved.
    pub address: IpAddr,
    /// What the address is for, as a noun phrase.
    pub reason: &'static str,
}

impl AddressGuard {
    /// A guard that permits public addresses and all addresses in `allowed`. An IPv4 network
    /// there also covers its IPv4-mapped form (`::ffff:10.0.0.0/104` for `10.0.0.0/8`).
    ///
    /// A cloud's metadata address is permitted only if it is allowed by itself (`/32`, `/128`),
    /// never as one of many in a wider network.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be connected to.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        match forbidden_because(address) {
            Some(reason) if !self.is_allowed(address) => Err(RefusedAddress { address, reason }),
            _ => Ok(()),
        }
    }

    /// Whether anything is permitted that is not public.
    pub(crate) fn has_exceptions(&self) -> bool {
        !self.allowed.is_empty()
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let unmapped = address.to_canonical();
        let must_be_named = CLOUD_METADATA.contains(&unmapped);
        self.allowed.iter().any(|network| {
            let covers = network.contains(&address) || network.contains(&unmapped);
            covers && (!must_be_named || network.prefix_len() == network.max_prefix_len())
        })
    }
}

/// Why an address is not for us to connect to; `None` for an ordinary public address.
fn forbidden_because(address: IpAddr) -> Option<&'static str> {
    if CLOUD_METADATA.contains(&address) {
        return Some("cloud metadata address");
    }
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    IPV4.iter().find(|(network, _)| network.contains(&address)).map(|(_, reason)| *reason)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    // A socket connected to ::ffff:127.0.0.1 speaks IPv4 to 127.0.0.1 (RFC 4291 section
    // 2.5.5.2), so the IPv4 address inside is the one to judge.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return forbidden_because(IpAddr::V4(mapped));
    }
    // A NAT64 gateway does the same on the network's behalf (RFC 6052). On a network that has
    // only IPv6 this is the way to public IPv4 receivers, so it is not refused altogether.
    if NAT64_WELL_KNOWN.contains(&address) {
        return forbidden_because(IpAddr::V4(last_32_bits(address)));
    }
    if let Some((_, reason)) = IPV6.iter().find(|(network, _)| network.contains(&address)) {
        return Some(reason);
    }
    if is_isatap(address) {
        return forbidden_because(IpAddr::V4(last_32_bits(address)));
    }
    (!GLOBAL_UNICAST_V6.contains(&address)).then_some("not a global unicast address")
}

/// Whether the interface identifier is ISATAP's (RFC 5214 section 6.1): the site's router takes
/// such a packet, whatever its prefix, to the IPv4 address at its end.
fn is_isatap(address: Ipv6Addr) -> bool {
    // The bit that may be set says that the IPv4 address is globally unique.
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

fn last_32_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;

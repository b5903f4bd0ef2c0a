//! Decides which IP addresses may be connected to.
//!
//! Webhook URLs are chosen by customers, so a URL may name, directly or through DNS, a service
//! that only we can reach: a database on loopback, a neighbour on a private network, a cloud's
//! metadata service. The guard judges addresses, not names, and it judges them at connect time,
//! because a name that was checked before can point elsewhere by now (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::special_networks::{GLOBAL_UNICAST_V6, IPV4, IPV6, NAT64_WELL_KNOWN};

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

    fn is_allowed(&self, address: IpAddr) -> bool {
        let unmapped = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address) || network.contains(&unmapped))
    }
}

/// Why an address is not for us to connect to; `None` for an ordinary public address.
fn forbidden_because(address: IpAddr) -> Option<&'static str> {
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
        return forbidden_v4(mapped);
    }
    // A NAT64 gateway does the same on the network's behalf (RFC 6052). On a network that has
    // only IPv6 this is the way to public IPv4 receivers, so it is not refused altogether.
    if NAT64_WELL_KNOWN.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return forbidden_v4(Ipv4Addr::new(a, b, c, d));
    }
    if let Some((_, reason)) = IPV6.iter().find(|(network, _)| network.contains(&address)) {
        return Some(reason);
    }
    (!GLOBAL_UNICAST_V6.contains(&address)).then_some("not a global unicast address")
}

#[cfg(test)]
mod tests;

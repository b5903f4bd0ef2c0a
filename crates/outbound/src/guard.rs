//! Decides which IP addresses may be connected to.
//!
//! Customers choose webhook URLs. A URL may name, directly or through DNS, a service that only we
//! can reach: a database on loopback, a host on a private network, a cloud's metadata service. The
//! guard checks addresses, not names, and at connect time, because a name that was checked before
//! may resolve to another address by now (DNS rebinding).
//!
//! Some IPv6 addresses stand for IPv4 addresses ([`crate::translations`]); the guard checks the
//! IPv4 address. A network may also translate under a prefix of its own choice (RFC 6052 section
//! 2.2). Such a prefix looks like any public address, and its gateway has to limit what it reaches;
//! only a cloud's metadata address is recognised behind any prefix.
//!
//! Decision: docs/decisions/addresses-are-checked-at-connect-time.md

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::special_networks::{CLOUD_METADATA, GLOBAL_UNICAST_V6, IPV4, IPV6, NAT64_WELL_KNOWN};
use crate::translations::{could_stand_for, stands_for};

/// Refuses addresses outside the public Internet, with configured exceptions.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<IpNet>,
}

/// An address that must not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused to connect to {address}: {reason} (an operator can permit it with --allow-network {address}/{prefix})",
    prefix = if address.is_ipv4() { 32 } else { 128 }
)]
pub struct RefusedAddress {
    /// As it was given or resolved.
    pub address: IpAddr,
    /// What the address is for: a noun phrase.
    pub reason: &'static str,
}

impl AddressGuard {
    /// A guard that permits public addresses and all addresses in `allowed`.
    ///
    /// An IPv4-mapped network (`::ffff:10.0.0.0/104`) means the IPv4 network (`10.0.0.0/8`), and an
    /// IPv4 network covers its mapped form. Any other address that stands for an IPv4 address is
    /// permitted only if both are: `64:ff9b::/96` by itself opens nothing, and together with
    /// `10.0.0.0/8` it opens `64:ff9b::10.0.0.1`.
    ///
    /// A cloud's metadata address is permitted only if it is allowed by itself (`/32`, `/128`), never
    /// as one of many in a wider network. An address that is allowed by itself is permitted,
    /// whatever it stands for.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into_iter().map(unmapped).collect() }
    }

    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        // A socket connected to ::ffff:127.0.0.1 speaks IPv4 to 127.0.0.1 (RFC 4291 section
        // 2.5.5.2), so the IPv4 address inside is checked.
        match self.refused_because(address.to_canonical()) {
            Some(reason) => Err(RefusedAddress { address, reason }),
            None => Ok(()),
        }
    }

    pub(crate) fn has_exceptions(&self) -> bool {
        !self.allowed.is_empty()
    }

    fn refused_because(&self, address: IpAddr) -> Option<&'static str> {
        if self.allows_by_itself(address) {
            return None;
        }
        if self.may_lead_to_metadata(address) {
            return Some("cloud metadata address");
        }
        let mut reason = special_because(address)?;
        for network in self.allowed.iter().filter(|network| network.contains(&address)) {
            // Networks of one family only contain addresses of that family.
            let refused = match (address, network) {
                (IpAddr::V6(address), IpNet::V6(network)) => {
                    self.translation_refused_because(address, *network)
                }
                _ => None,
            };
            reason = refused?;
        }
        Some(reason)
    }

    /// Why the IPv4 address that `address` stands for is refused, if there is one. `allowed` is the
    /// network that permits the IPv6 address.
    fn translation_refused_because(
        &self,
        address: Ipv6Addr,
        allowed: Ipv6Net,
    ) -> Option<&'static str> {
        // Where the length of a prefix is not known, padding zeros look like an address of "this
        // network", which no translator sends a packet to.
        let (filling, meant): (Vec<_>, Vec<_>) =
            stands_for(address, allowed).into_iter().partition(|meant| meant.octets()[0] == 0);
        let judged = if meant.is_empty() { filling } else { meant };
        judged.into_iter().find_map(|address| self.refused_because(IpAddr::V4(address)))
    }

    fn may_lead_to_metadata(&self, address: IpAddr) -> bool {
        let shut =
            |address: IpAddr| CLOUD_METADATA.contains(&address) && !self.allows_by_itself(address);
        let behind = match address {
            IpAddr::V6(address) => could_stand_for(address).any(|meant| shut(IpAddr::V4(meant))),
            IpAddr::V4(_) => false,
        };
        shut(address) || behind
    }

    fn allows_by_itself(&self, address: IpAddr) -> bool {
        self.allowed.contains(&IpNet::from(address))
    }
}

/// An IPv4-mapped network as the IPv4 network; any other network unchanged.
fn unmapped(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), length @ 96..) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, length - 96).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// Why an address is refused; `None` for an ordinary public address.
fn special_because(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    if CLOUD_METADATA.contains(&IpAddr::V4(address)) {
        return Some("cloud metadata address");
    }
    IPV4.iter().find(|(network, _)| network.contains(&address)).map(|(_, reason)| *reason)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    // On an IPv6-only network this prefix leads to public IPv4 receivers, so it is not refused
    // altogether.
    if !NAT64_WELL_KNOWN.contains(&address) {
        if let Some((_, reason)) = IPV6.iter().find(|(network, _)| network.contains(&address)) {
            return Some(reason);
        }
        if !GLOBAL_UNICAST_V6.contains(&address) {
            return Some("not a global unicast address");
        }
    }
    stands_for(address, Ipv6Net::from(address)).into_iter().find_map(special_v4)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod translation_tests;

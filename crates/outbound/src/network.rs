//! Turns a URL into permitted addresses, and connects to them, directly or through a proxy.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::classify::{is_out_of_sockets, tcp_failure};
use crate::dial::first_to_connect;
use crate::failure::SendFailure;
use crate::guard::AddressGuard;
use crate::limits::MAX_ADDRESSES_KNOWN;
use crate::local_names::check_public;
use crate::ports::PortGuard;
use crate::proxy::OutboundProxy;
use crate::resolve::Resolver;
use crate::target::{Host, Target};

pub(crate) struct Network {
    pub(crate) resolver: Resolver,
    pub(crate) addresses: AddressGuard,
    pub(crate) ports: PortGuard,
    pub(crate) proxy: Option<OutboundProxy>,
}

impl Network {
    /// The URL's target, if its port and any literal address are permitted.
    pub(crate) fn target<'a>(&self, url: &'a Uri) -> Result<Target<'a>, SendFailure> {
        let target = Target::of(url)?;
        self.ports.check(target.port)?;
        if let Host::Address(address) = target.host {
            self.addresses.check(address)?;
        }
        Ok(target)
    }

    /// The addresses for one new connection: at least one, all permitted. A name is resolved each
    /// time (from the cache only for as long as its records say) and its addresses are checked each
    /// time, so that no connection relies on an earlier check.
    pub(crate) async fn addresses(
        &self,
        url: &Uri,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, SendFailure> {
        let target = self.target(url)?;
        let resolved = match target.host {
            Host::Address(address) => vec![address],
            Host::Name(name) => timeout_at(deadline, self.resolve(name))
                .await
                .map_err(|_| SendFailure::ResolutionTimedOut)??,
        };
        let permitted = permitted(&self.addresses, resolved)?;
        Ok(permitted.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
    }

    /// Connects to a permitted address, directly or through the proxy.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<TcpStream, SendFailure> {
        let Some(proxy) = &self.proxy else {
            return match timeout_at(deadline, open(address)).await {
                Ok(opened) => opened.map_err(|error| tcp_failure(address, &error)),
                Err(_) => Err(SendFailure::ConnectTimedOut { address: address.into() }),
            };
        };
        let resolved = timeout_at(deadline, proxy.addresses(&self.resolver)).await;
        let proxies = resolved.map_err(|_| SendFailure::ProxyUnreachable)??;
        let stream =
            first_to_connect(&proxies, deadline, async |proxy, deadline| {
                match timeout_at(deadline, open(proxy)).await {
                    Ok(Err(error)) if is_out_of_sockets(&error) => Err(SendFailure::OutOfSockets),
                    Ok(Ok(stream)) => Ok(stream),
                    _ => Err(SendFailure::ProxyUnreachable),
                }
            })
            .await?;
        timeout_at(deadline, proxy.tunnel(stream, address))
            .await
            .map_err(|_| SendFailure::ProxyTimedOut { address: address.into() })?
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, SendFailure> {
        if let Some(known) = self.resolver.without_dns(name)? {
            return Ok(known);
        }
        // With exceptions the name may belong to an allowed network.
        if !self.addresses.has_exceptions() {
            check_public(name)?;
        }
        self.resolver.by_dns(name).await
    }
}

/// Connects with Nagle's algorithm off. A request is written in one go, and holding its last segment
/// back until the one before is acknowledged would only add a round trip.
async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The permitted addresses, in order, without duplicates, at most [`MAX_ADDRESSES_KNOWN`]. If there
/// is none, the guard's first refusal.
///
/// A refused address beside permitted ones is only left out: a receiver may also have an address for
/// its own network.
fn permitted(guard: &AddressGuard, resolved: Vec<IpAddr>) -> Result<Vec<IpAddr>, SendFailure> {
    let mut permitted = Vec::new();
    let mut first_refusal = None;
    for address in resolved {
        match guard.check(address) {
            Ok(()) if permitted.contains(&address) => {}
            Ok(()) => permitted.push(address),
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
        // A DNS answer may have thousands.
        if permitted.len() == MAX_ADDRESSES_KNOWN {
            break;
        }
    }
    match first_refusal {
        Some(refusal) if permitted.is_empty() => Err(refusal.into()),
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn refused_addresses_of_a_name_are_left_out() {
        let resolved = addresses(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"]);
        assert_eq!(
            permitted(&AddressGuard::default(), resolved),
            Ok(addresses(&["8.8.8.8", "2606:4700::1"]))
        );
    }

    #[test]
    fn a_name_with_only_refused_addresses_is_refused_with_the_reason_of_the_first() {
        let resolved = addresses(&["10.0.0.1", "127.0.0.1"]);
        let refused = permitted(&AddressGuard::default(), resolved);
        assert!(matches!(
            refused,
            Err(SendFailure::AddressRefused(refusal)) if refusal.reason == "private address"
        ));
    }

    #[test]
    fn addresses_are_used_once_and_up_to_the_limit() {
        let all: Vec<IpAddr> = (0..=u8::MAX).map(|last| [8, 8, 8, last].into()).collect();
        let twice = all.iter().flat_map(|address| [*address; 2]).collect();
        assert_eq!(
            permitted(&AddressGuard::default(), twice),
            Ok(all[..MAX_ADDRESSES_KNOWN].to_vec())
        );
    }

    /// With this hosts file and without a DNS server.
    fn network(hosts_file: &str, allowed: &[&str]) -> Network {
        let allowed = allowed.iter().map(|network| network.parse().expect("a network"));
        Network {
            resolver: Resolver::with_hosts_file_only(hosts_file),
            addresses: AddressGuard::new(allowed.collect()),
            ports: PortGuard::default(),
            proxy: None,
        }
    }

    #[tokio::test]
    async fn a_private_name_is_looked_up_only_where_a_network_is_allowed() {
        let guarded = network("", &[]).resolve("wiki.corp").await;
        assert!(matches!(guarded, Err(SendFailure::NameRefused(_))), "{guarded:?}");
        let with_exceptions = network("", &["10.20.0.0/16"]).resolve("wiki.corp").await;
        assert_eq!(with_exceptions, Err(SendFailure::ResolutionFailed), "there is no DNS server");
    }

    #[tokio::test]
    async fn a_private_name_in_the_hosts_file_is_known_without_a_lookup() {
        let resolved = network("192.0.2.7 wiki.corp\n", &[]).resolve("wiki.corp").await;
        assert_eq!(resolved, Ok(addresses(&["192.0.2.7"])));
    }
}

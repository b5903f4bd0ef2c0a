//! Resolves host names with the system's hosts file and with DNS.
//!
//! The configuration of both is read once, when the resolver is made. The hosts file has the
//! operator's names that DNS does not know; their addresses are checked like all others.
//!
//! Decision: docs/decisions/names-are-resolved-by-hickory.md

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use crate::classify::is_out_of_sockets;
use crate::failure::SendFailure;
use crate::limits::{DNS_NEGATIVE_TTL, DNS_QUERY_TIMEOUT};
use crate::name_server::NameServer;
use crate::setup_error::SetupError;

/// Looks in the hosts file first, then asks DNS, with a cache that respects each record's time to
/// live.
pub(crate) struct Resolver {
    hosts: Hosts,
    dns: TokioResolver,
}

impl Resolver {
    /// Uses these DNS servers or, if there are none, the system's. Without a usable configuration it
    /// still knows the hosts file and `localhost`.
    pub(crate) fn from_system(name_servers: &[NameServer]) -> Result<Self, SetupError> {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::warn!(%error, "the hosts file could not be read");
            Hosts::default()
        });
        if !name_servers.is_empty() {
            let name_servers = name_servers.iter().map(NameServer::config).collect();
            return Self::new(hosts, name_servers, ResolverOpts::default());
        }
        let (config, options) = read_system_conf().unwrap_or_else(|error| {
            tracing::warn!(%error, "no usable DNS configuration, only names in the hosts file will resolve");
            (ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default())
        });
        // Without the search list: see `absolute`.
        Self::new(hosts, config.name_servers, options)
    }

    fn new(
        hosts: Hosts,
        name_servers: Vec<NameServerConfig>,
        mut options: ResolverOpts,
    ) -> Result<Self, SetupError> {
        // We look there ourselves: hickory would ask DNS for whichever of the A and AAAA records
        // the file does not have.
        options.use_hosts_file = ResolveHosts::Never;
        // Every public receiver can be reached by IPv4, but not every server has IPv6.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = options.timeout.min(DNS_QUERY_TIMEOUT);
        options.negative_max_ttl = Some(DNS_NEGATIVE_TTL);

        let config = ResolverConfig::from_name_servers(name_servers);
        let mut dns = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *dns.options_mut() = options;
        let dns = dns.build().map_err(|_| SetupError::Resolver)?;
        Ok(Self { hosts, dns })
    }

    /// The addresses of a name, at least one, IPv4 before IPv6.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, SendFailure> {
        match self.without_dns(name)? {
            Some(known) => Ok(known),
            None => self.by_dns(name).await,
        }
    }

    /// The addresses of a name that needs no DNS: one in the hosts file, `localhost`, or a name below
    /// it (RFC 6761 section 6.3).
    pub(crate) fn without_dns(&self, name: &str) -> Result<Option<Vec<IpAddr>>, SendFailure> {
        let name = absolute(name)?;
        let known = self.in_hosts_file(&name);
        if known.is_empty() && name.is_localhost() {
            return Ok(Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        }
        Ok(Some(known).filter(|known| !known.is_empty()))
    }

    /// The addresses that DNS has for a name, at least one, IPv4 before IPv6.
    pub(crate) async fn by_dns(&self, name: &str) -> Result<Vec<IpAddr>, SendFailure> {
        let resolved: Vec<IpAddr> = match self.dns.lookup_ip(absolute(name)?).await {
            Ok(resolved) => resolved.iter().collect(),
            Err(error) if error.is_no_records_found() => return Err(SendFailure::NoAddress),
            Err(_) if is_without_sockets() => return Err(SendFailure::OutOfSockets),
            Err(NetError::Timeout) => return Err(SendFailure::ResolutionTimedOut),
            Err(_) => return Err(SendFailure::ResolutionFailed),
        };
        if resolved.is_empty() {
            return Err(SendFailure::NoAddress);
        }
        Ok(resolved)
    }

    /// With this hosts file and without a DNS server.
    #[cfg(test)]
    pub(crate) fn with_hosts_file_only(hosts_file: &str) -> Self {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(hosts_file.as_bytes()).expect("a hosts file");
        Self::new(hosts, Vec::new(), ResolverOpts::default()).expect("a resolver")
    }

    fn in_hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                let query = Query::query(name.clone(), kind);
                self.hosts.lookup_static_host(&query)
            })
            .flat_map(|lookup| {
                let addresses = lookup.answers().iter();
                addresses.filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Whether there is no socket for a DNS query. hickory has one error for everything that prevents a
/// query.
fn is_without_sockets() -> bool {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_err_and(|error| is_out_of_sockets(&error))
}

/// Makes the name absolute, with or without a dot at its end. The system's search list is not used:
/// with it, `a.example` could become `a.example.corp` of one of our networks, once the real name no
/// longer exists (RFC 1535 section 3).
fn absolute(name: &str) -> Result<Name, SendFailure> {
    let mut name = Name::from_ascii(name)
        .map_err(|_| SendFailure::UnusableUrl { reason: "its host is not a valid name" })?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(hosts_file: &str) -> Resolver {
        Resolver::with_hosts_file_only(hosts_file)
    }

    #[tokio::test]
    async fn names_in_the_hosts_file_resolve_without_dns() {
        let resolver = resolver("2001:db8::7 receiver\n192.0.2.7 receiver Other.Example\n");
        let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
        assert_eq!(resolver.resolve("receiver").await, Ok(vec![v4, v6]));
        assert_eq!(resolver.resolve("receiver.").await, Ok(vec![v4, v6]));
        assert_eq!(resolver.resolve("OTHER.example").await, Ok(vec![v4]));
    }

    #[tokio::test]
    async fn localhost_resolves_to_loopback_without_a_hosts_file_and_dns() {
        let addresses = resolver("").resolve("localhost").await.expect("addresses");
        assert!(addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn a_name_that_the_hosts_file_or_rfc_6761_knows_needs_no_dns() {
        let resolver = resolver("192.0.2.7 receiver.example\n");
        for name in ["receiver.example", "localhost", "LOCALHOST.", "a.b.localhost"] {
            let known = resolver.without_dns(name).expect("a valid name");
            assert!(known.is_some_and(|addresses| !addresses.is_empty()), "{name}");
        }
        for name in ["other.example", "localhost.example"] {
            assert_eq!(resolver.without_dns(name), Ok(None));
        }
    }

    #[tokio::test]
    async fn other_names_fail_at_once_without_dns() {
        assert_eq!(
            resolver("").resolve("receiver.example").await,
            Err(SendFailure::ResolutionFailed)
        );
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_a_name_is_not_looked_up() {
        let label_of_64 = "a".repeat(64);
        assert_eq!(
            resolver("").resolve(&label_of_64).await,
            Err(SendFailure::UnusableUrl { reason: "its host is not a valid name" })
        );
    }
}

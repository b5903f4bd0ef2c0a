//! What an operator may configure about outgoing requests.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use crate::limits::MAX_CONNECTIONS;
use crate::name_server::NameServer;
use crate::ports::PortRange;
use crate::proxy::OutboundProxy;

#[derive(Clone)]
pub struct OutboundConfig {
    /// Networks that may be connected to although the guard refuses them by default
    /// (`--allow-network`); see [`crate::guard::AddressGuard::new`].
    pub allowed_networks: Vec<IpNet>,
    /// Ports that may be connected to besides 443 and those over 1023 (`--allow-port`).
    pub allowed_ports: Vec<PortRange>,
    /// The DNS servers (`--dns-server`); if empty, those of the system's configuration.
    pub name_servers: Vec<NameServer>,
    /// The HTTP proxy to connect through (`--outbound-proxy`). The environment's proxy variables are
    /// not read.
    pub proxy: Option<OutboundProxy>,
    /// Contents of PEM files (`--trust-ca`). Their certificates are trusted in addition to the
    /// system's: as servers if they name some, else as authorities (see
    /// [`keeptrusts_webhooks_trust`]).
    pub trusted_roots_pem: Vec<Vec<u8>>,
    /// For resolving the name, connecting and the TLS handshake together. Part of
    /// `request_timeout`.
    pub connect_timeout: Duration,
    /// For the whole request, up to the last byte of the answer's body that is read. Waiting for a
    /// connection that this process may not open yet does not count.
    pub request_timeout: Duration,
    /// At a time. Half of this process's limit of open files, if that is less.
    pub max_connections: usize,
}

impl Default for OutboundConfig {
    /// No exceptions to the guard, the system's DNS servers and roots, no proxy, 5 s to connect, 10 s
    /// in all, [`MAX_CONNECTIONS`].
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            allowed_ports: Vec::new(),
            name_servers: Vec::new(),
            proxy: None,
            trusted_roots_pem: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            max_connections: MAX_CONNECTIONS,
        }
    }
}

// Written by hand, because pages of PEM bytes would bury the rest.
impl fmt::Debug for OutboundConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundConfig")
            .field("allowed_networks", &self.allowed_networks)
            .field("allowed_ports", &self.allowed_ports)
            .field("name_servers", &self.name_servers)
            .field("proxy", &self.proxy)
            .field("trusted_root_files", &self.trusted_roots_pem.len())
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

//! A configured DNS server (`--dns-server`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig};

/// The port of DNS (RFC 1035 section 4.2).
const DEFAULT_PORT: u16 = 53;

/// A DNS server, written `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`.
/// Queries go by UDP, and by TCP if an answer is too long for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(SocketAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the IP address of a DNS server, for example 192.0.2.53, or with its port 192.0.2.53:53 or [2001:db8::53]:53"
)]
pub struct InvalidNameServer;

impl FromStr for NameServer {
    type Err = InvalidNameServer;

    fn from_str(text: &str) -> Result<Self, InvalidNameServer> {
        let address = match text.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, DEFAULT_PORT),
            Err(_) => text.parse().map_err(|_| InvalidNameServer)?,
        };
        match address.port() {
            0 => Err(InvalidNameServer),
            _ => Ok(Self(address)),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl NameServer {
    pub(crate) fn config(&self) -> NameServerConfig {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = self.0.port();
                connection
            });
        let trust_negative_responses = true;
        NameServerConfig::new(self.0.ip(), trust_negative_responses, connections.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_or_without_a_port() {
        for (text, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            let server: NameServer = text.parse().expect("a server");
            assert_eq!(server.to_string(), address);
            assert!(server.config().connections.iter().all(|by| by.port == server.0.port()));
        }
        for text in ["", "dns.example", "192.0.2.53:0", "192.0.2.53:x", "[2001:db8::53]"] {
            assert_eq!(text.parse::<NameServer>(), Err(InvalidNameServer), "{text:?}");
        }
    }
}

//! The console's flags.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use ipnet::IpNet;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use tonic::transport::Uri;

use crate::public_url::PublicUrl;
use crate::services::Addresses;

/// Where the console listens unless it is told otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the console is started with; flatten them into a process's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console")]
pub struct ConsoleFlags {
    /// Where the console listens for browsers. It speaks plain HTTP, so that it must be an address
    /// of this machine's own (loopback), unless --console-public-url is given [default:
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "KEEPTRUSTS_WEBHOOKS_CONSOLE_LISTEN")]
    pub console_listen: Option<SocketAddr>,

    /// Where browsers find the console, if a proxy stands before it that terminates TLS. With it
    /// the console may listen on any address, answers to that name as well, and its cookie is
    /// sent over TLS only
    #[arg(long, value_name = "URL", env = "KEEPTRUSTS_WEBHOOKS_CONSOLE_PUBLIC_URL")]
    pub console_public_url: Option<PublicUrl>,

    /// The organization that the console shows to who signs in with a key for all of them, unless
    /// they name another one
    #[arg(
        long,
        value_name = "ID",
        env = "KEEPTRUSTS_WEBHOOKS_ORGANIZATION",
        default_value = "default"
    )]
    pub organization: OrganizationId,
}

/// What a console shares with the gate of its process. A console in a process of its own has
/// [`OwnTrustFlags`] for it.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Networks whose peers may say by `x-forwarded-for` whom they ask for.
    pub proxies: Vec<IpNet>,
}

/// Whom a console in a process of its own trusts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console")]
pub struct OwnTrustFlags {
    /// A network whose peers may say by x-forwarded-for whom they ask for, which the audit trail
    /// then shows: the proxy before the console. The services have to trust the console in the
    /// same way. Can be given several times
    #[arg(
        long,
        value_name = "CIDR",
        env = "KEEPTRUSTS_WEBHOOKS_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    pub trusted_proxy: Vec<IpNet>,
}

impl OwnTrustFlags {
    /// What they say.
    pub fn trust(&self) -> Trust {
        Trust { proxies: self.trusted_proxy.clone() }
    }
}

/// Where the services are that a console in a process of its own asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Services")]
pub struct ServiceFlags {
    /// The endpoint service
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_ENDPOINT_SERVICE",
        default_value = "http://127.0.0.1:50052",
        value_parser = service_address
    )]
    pub endpoint_service: Uri,

    /// The ingest service
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_INGEST_SERVICE",
        default_value = "http://127.0.0.1:50053",
        value_parser = service_address
    )]
    pub ingest_service: Uri,

    /// The dispatch service
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_DISPATCH_SERVICE",
        default_value = "http://127.0.0.1:50054",
        value_parser = service_address
    )]
    pub dispatch_service: Uri,

    /// The access service: keys, sessions, the audit trail
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPTRUSTS_WEBHOOKS_ACCESS_SERVICE",
        default_value = "http://127.0.0.1:50055",
        value_parser = service_address
    )]
    pub access_service: Uri,
}

impl ServiceFlags {
    /// Their addresses.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            endpoints: self.endpoint_service.clone(),
            ingest: self.ingest_service.clone(),
            dispatch: self.dispatch_service.clone(),
            access: self.access_service.clone(),
        }
    }
}

/// gRPC is not encrypted yet, so that `https` would never connect.
fn service_address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "write http://host:port".to_owned())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(uri),
        _ => Err("write http://host:port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_never_be_connected_to_is_refused() {
        assert!(service_address("http://dispatch:50054").is_ok());
        for text in ["dispatch:50054", "https://dispatch:50054", "", "http://"] {
            assert!(service_address(text).is_err(), "{text}");
        }
    }
}

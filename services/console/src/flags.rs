//! The console's flags.

mod accounts;
mod limits;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;
use keeptrusts_webhooks_access::issuer::IssuerSettings;
use keeptrusts_webhooks_access::issuer_address;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::flags::{listen_address, network};
use keeptrusts_webhooks_process::program::{ACCESS, DISPATCH, ENDPOINT, INGEST, NOTIFICATION};
use keeptrusts_webhooks_process::tls::{Reloadable, ServiceTlsFlags, TlsFileError};
use rustls::ClientConfig;
use tonic::transport::Uri;

pub use accounts::{AccountFlags, ClientSecret, EmptySecret};
pub use limits::ConsoleLimitFlags;

use crate::public_url::PublicUrl;
use crate::services::ServiceAddresses;

pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the console is started with; flatten them into a process's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console")]
pub struct ConsoleFlags {
    /// Where the console listens for browsers. It speaks plain HTTP, so that it must be an address
    /// of this machine's own (loopback), unless --console-public-url is given [default:
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub console_listen: Option<SocketAddr>,

    /// Where browsers find the console, if a proxy stands before it that terminates TLS. With it
    /// the console may listen on any address, takes forms from pages at that address, whatever
    /// Host the proxy passes on, and its cookie is sent over TLS only
    #[arg(long, value_name = "URL")]
    pub console_public_url: Option<PublicUrl>,

    /// The organization that the console shows to who signs in with a key for all of them, unless
    /// they name another one
    #[arg(long, value_name = "ID", default_value = "default")]
    pub organization: OrganizationId,

    /// Who else may sign in but the owners of keys.
    #[command(flatten)]
    pub accounts: AccountFlags,

    /// Limits of its server.
    #[command(flatten)]
    pub limits: ConsoleLimitFlags,
}

/// What a console shares with the gate of its process. A console in a process of its own has
/// [`OwnTrustFlags`] instead.
#[derive(Debug, Clone, Default)]
pub struct ConsoleTrust {
    /// Networks whose peers may name the browser's address in `x-forwarded-for`.
    pub proxies: Vec<IpNet>,
    /// The issuer whose accounts sign in.
    pub issuer: Option<IssuerSettings>,
    /// The audiences whose tokens the gate accepts. None: the gate is in another process.
    pub audiences: Option<Vec<String>>,
}

/// Whom a console in a process of its own trusts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console")]
pub struct OwnTrustFlags {
    /// A network whose peers may say by x-forwarded-for whom they ask for, which the audit trail
    /// then shows: the proxy before the console. The services have to trust the console in the
    /// same way. Can be given several times
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,

    /// The OpenID Connect issuer with whose accounts people sign in to the console, if
    /// --oidc-client-id is given. The services must accept its tokens.
    #[arg(long, value_name = "URL", value_parser = issuer_address)]
    pub oidc_issuer: Option<String>,

    /// A PEM file with certificates to trust for the issuer besides the system's: of an authority,
    /// or of the issuer itself.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_ca: Option<PathBuf>,
}

impl OwnTrustFlags {
    pub fn trust(&self) -> ConsoleTrust {
        let issuer = self.oidc_issuer.clone().map(|identifier| IssuerSettings {
            identifier,
            jwks_file: None,
            ca: self.oidc_ca.clone(),
        });
        ConsoleTrust { proxies: self.trusted_proxy.clone(), issuer, audiences: None }
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
        default_value = ENDPOINT.default_url(),
        value_parser = service_address
    )]
    pub endpoint_service: Uri,

    /// The ingest service
    #[arg(
        long,
        value_name = "URL",
        default_value = INGEST.default_url(),
        value_parser = service_address
    )]
    pub ingest_service: Uri,

    /// The dispatch service
    #[arg(
        long,
        value_name = "URL",
        default_value = DISPATCH.default_url(),
        value_parser = service_address
    )]
    pub dispatch_service: Uri,

    /// The access service: keys, sessions, the audit trail
    #[arg(
        long,
        value_name = "URL",
        default_value = ACCESS.default_url(),
        value_parser = service_address
    )]
    pub access_service: Uri,

    /// The notification service
    #[arg(
        long,
        value_name = "URL",
        default_value = NOTIFICATION.default_url(),
        value_parser = service_address
    )]
    pub notification_service: Uri,

    /// How to speak TLS with them.
    #[command(flatten)]
    pub tls: ServiceTlsFlags,
}

/// Files for TLS are given, but no service is asked over TLS.
#[derive(Debug, thiserror::Error)]
#[error("{flag} is given, but {address} is asked without TLS: write https:// for every service")]
pub struct TlsNotUsed {
    flag: &'static str,
    address: Uri,
}

impl ServiceFlags {
    /// The TLS configuration. None: no service is asked over TLS, and no file is read.
    pub fn load_tls(&self) -> Result<Option<Arc<Reloadable<ClientConfig>>>, TlsFileError> {
        let encrypted = self.all().into_iter().any(|uri| uri.scheme_str() == Some("https"));
        encrypted.then(|| self.tls.load()).transpose()
    }

    /// The services' addresses. Whoever gives files for TLS expects it to be used, so addresses
    /// without TLS are an error then.
    pub fn addresses(&self) -> Result<ServiceAddresses, TlsNotUsed> {
        if let Some(flag) = self.tls.first_given()
            && let Some(plain) = self.all().into_iter().find(|uri| uri.scheme_str() == Some("http"))
        {
            return Err(TlsNotUsed { flag, address: plain.clone() });
        }
        Ok(ServiceAddresses {
            endpoints: self.endpoint_service.clone(),
            ingest: self.ingest_service.clone(),
            dispatch: self.dispatch_service.clone(),
            access: self.access_service.clone(),
            notifications: self.notification_service.clone(),
        })
    }

    fn all(&self) -> [&Uri; 5] {
        let ServiceFlags {
            endpoint_service,
            ingest_service,
            dispatch_service,
            access_service,
            notification_service,
            ..
        } = self;
        [endpoint_service, ingest_service, dispatch_service, access_service, notification_service]
    }
}

fn service_address(text: &str) -> Result<Uri, String> {
    let wrong = || "write https://host:port or http://host:port".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https" | "http"), Some(_)) => Ok(uri),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_never_be_connected_to_is_refused() {
        assert!(service_address("http://dispatch:50054").is_ok());
        assert!(service_address("https://dispatch:50054").is_ok());
        for text in ["dispatch:50054", "ftp://dispatch:50054", "", "http://"] {
            assert!(service_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_tls_are_for_addresses_with_tls() {
        #[derive(Debug, clap::Parser)]
        struct Flags {
            #[command(flatten)]
            services: ServiceFlags,
        }
        let given = |arguments: &[&str]| {
            let arguments = ["console", "--services-ca=ca.pem"].iter().chain(arguments);
            let flags: Flags = clap::Parser::try_parse_from(arguments).expect("right");
            flags.services.addresses()
        };
        let encrypted = ["--endpoint-service=https://a:1", "--ingest-service=https://b:2"];
        let error = given(&encrypted).expect_err("dispatch is asked without");
        assert_eq!(
            error.to_string(),
            "--services-ca is given, but http://127.0.0.1:50054/ is asked without TLS: write https:// for every service"
        );
        let others = [
            "--dispatch-service=https://c:3",
            "--access-service=https://d:4",
            "--notification-service=https://e:5",
        ];
        assert!(given(&[encrypted.as_slice(), &others].concat()).is_ok());
    }
}

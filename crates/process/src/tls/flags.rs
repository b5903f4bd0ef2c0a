//! The TLS flags of servers and of clients, and the configurations of rustls made from them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use keeptrusts_webhooks_trust::TrustStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use super::alpn::HTTP2;
use super::certificate::warn_if_not_valid_now;
use super::file::{PemFile, TlsFileError};
use super::reload::Reloadable;

/// TLS of a gRPC server.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct ServerTlsFlags {
    /// A PEM file with the certificate of this server, and those between it and its authority.
    ///
    /// gRPC is encrypted then, and only so. SIGHUP reads the files again: new connections use
    /// what is in them then, open ones go on.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// A PEM file with the authorities whose certificates clients must show (mutual TLS).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Permit gRPC without TLS on an address that other machines can reach.
    #[arg(long)]
    pub insecure: bool,
}

/// TLS of a client of the services.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Services")]
pub struct ServiceTlsFlags {
    /// A PEM file with the authorities of the services' certificates, for https, or with those
    /// certificates themselves [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    pub services_ca: Option<PathBuf>,

    /// A PEM file with the certificate to show to services that ask for one (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "services_key")]
    pub services_cert: Option<PathBuf>,

    /// A PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", requires = "services_cert")]
    pub services_key: Option<PathBuf>,
}

impl ServerTlsFlags {
    /// Reads the files. None: no flag is given, and TLS is off.
    pub fn load(&self) -> Result<Option<Arc<Reloadable<ServerConfig>>>, TlsFileError> {
        // clap has checked that certificate and key come together.
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let certificate = PemFile::of("--tls-cert", certificate);
        let key = PemFile::of("--tls-key", key);
        let clients = self.tls_client_ca.as_deref();
        let clients = clients.map(|path| PemFile::of("--tls-client-ca", path));
        let load = move || server_config(&certificate, &key, clients.as_ref());
        Reloadable::start(load).map(Some)
    }
}

impl ServiceTlsFlags {
    /// Reads the files, or the system's authorities without `--services-ca`.
    pub fn load(&self) -> Result<Arc<Reloadable<ClientConfig>>, TlsFileError> {
        let authorities = self.services_ca.as_deref();
        let authorities = authorities.map(|path| PemFile::of("--services-ca", path));
        let identity = self.services_cert.as_deref().zip(self.services_key.as_deref());
        let identity = identity.map(|(certificate, key)| {
            (PemFile::of("--services-cert", certificate), PemFile::of("--services-key", key))
        });
        Reloadable::start(move || client_config(authorities.as_ref(), identity.as_ref()))
    }

    /// The name of the first of these flags that is given.
    pub fn first_given(&self) -> Option<&'static str> {
        // clap has checked that a key comes with a certificate.
        let ca = self.services_ca.as_ref().map(|_| "--services-ca");
        ca.or(self.services_cert.as_ref().map(|_| "--services-cert"))
    }
}

fn server_config(
    certificate: &PemFile,
    key: &PemFile,
    clients: Option<&PemFile>,
) -> Result<ServerConfig, TlsFileError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsFileError::Setup)?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(file.authorities()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let unusable = |error: rustls::server::VerifierBuilderError| {
                file.unusable(rustls::Error::General(error.to_string()))
            };
            config.with_client_cert_verifier(verifier.map_err(unusable)?)
        }
    };
    let chain = certificate.certificates()?;
    warn_if_not_valid_now(certificate, &chain[0]);
    let mut config = config
        .with_single_cert(chain, key.key()?)
        .map_err(|error| certificate.refused_with(key, error))?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

fn client_config(
    authorities: Option<&PemFile>,
    identity: Option<&(PemFile, PemFile)>,
) -> Result<ClientConfig, TlsFileError> {
    let trust = match authorities {
        Some(file) => file.trust()?,
        None => TrustStore::from_system(),
    };
    if trust.is_empty() {
        return Err(TlsFileError::NoSystemRoots);
    }
    let config = trust.client_config().map_err(TlsFileError::Setup)?;
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificate.certificates()?;
            warn_if_not_valid_now(certificate, &chain[0]);
            config
                .with_client_auth_cert(chain, key.key()?)
                .map_err(|error| certificate.refused_with(key, error))?
        }
    };
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

/// Explicit, because the process-wide default depends on the crates that are linked in.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

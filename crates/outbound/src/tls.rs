//! The TLS configuration of connections to receivers.

use std::sync::Arc;

use keeptrusts_webhooks_trust::TrustStore;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::client_certificate::NoCertificate;
use crate::failure::TRUST_FLAG;
use crate::setup_error::SetupError;

pub(crate) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// The ALPN id of HTTP/1.1 (RFC 7301 section 6).
const HTTP1: &[u8] = b"http/1.1";

/// TLS 1.2 and 1.3, certificates always verified, HTTP/2 preferred to HTTP/1.1.
///
/// Early data stays off (rustls' default): an attacker could replay it (RFC 8446 section 8), and
/// the receiver would see a delivery twice.
pub(crate) fn client_config(trust: TrustStore) -> Result<ClientConfig, SetupError> {
    let config = trust.client_config().map_err(|_| SetupError::Tls)?;
    let mut config = config.with_client_cert_resolver(Arc::new(NoCertificate));
    config.alpn_protocols = vec![b"h2".to_vec(), HTTP1.to_vec()];
    Ok(config)
}

/// The same for receivers that offer HTTP/2 and then require HTTP/1.1. It shares the session cache.
pub(crate) fn for_http1(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![HTTP1.to_vec()];
    config
}

/// The system's certificates and those in the configured PEM files.
pub(crate) fn trust(
    mut system: TrustStore,
    pem_files: &[Vec<u8>],
) -> Result<TrustStore, SetupError> {
    if system.is_empty() {
        tracing::warn!(
            "the system has no root certificates, only those of {TRUST_FLAG} are trusted"
        );
    }
    for (index, pem) in pem_files.iter().enumerate() {
        system
            .add_pem(TRUST_FLAG, pem)
            .map_err(|reason| SetupError::TrustedRoot { number: index + 1, reason })?;
    }
    match system.is_empty() {
        true => Err(SetupError::NoRoots),
        false => Ok(system),
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_trust::UnusableCertificates;

    use super::*;

    fn pem() -> Vec<u8> {
        let server = rcgen::generate_simple_self_signed(["server.example".to_owned()]);
        server.expect("a certificate").cert.pem().into_bytes()
    }

    #[test]
    fn a_machine_without_any_root_is_an_error_that_says_what_to_do() {
        let error = trust(TrustStore::empty(), &[]).expect_err("no roots");
        assert_eq!(error, SetupError::NoRoots);
        assert!(error.to_string().contains(TRUST_FLAG));
        assert!(trust(TrustStore::empty(), &[pem()]).is_ok());
    }

    #[test]
    fn an_unusable_file_is_an_error_that_says_which() {
        let files = [pem(), b"hello".to_vec()];
        let error = trust(TrustStore::empty(), &files).expect_err("a bad file");
        let reason = UnusableCertificates::NoCertificate;
        assert_eq!(error, SetupError::TrustedRoot { number: 2, reason });
        assert_eq!(error.to_string(), format!("file number 2 of --trust-ca {reason}"));
    }

    #[test]
    fn early_data_is_off() {
        let trust = trust(TrustStore::empty(), &[pem()]).expect("somebody");
        let config = client_config(trust).expect("a configuration");
        assert!(!config.enable_early_data);
    }
}

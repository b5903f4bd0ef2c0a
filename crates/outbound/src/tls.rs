//! How we speak TLS, and whom we trust.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::config::SetupError;

/// TLS 1.2 and 1.3, certificates always verified, HTTP/2 preferred to HTTP/1.1.
///
/// Early data stays off (rustls' default): an attacker could replay it (RFC 8446 section 8), and
/// the receiver would see a delivery twice.
pub(crate) fn client_config(roots: RootCertStore) -> Result<ClientConfig, SetupError> {
    // An explicit provider: the process-wide default depends on who else is linked in.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| SetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The root certificates of the system. Those that cannot be read are left out with a warning:
/// one odd file in a directory of hundreds must not stop the process.
pub(crate) fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's root certificates could not be read");
    }
    if found.certs.is_empty() {
        tracing::warn!("the system has no root certificates, only those of --trust-ca are trusted");
    }
    found.certs
}

/// The system's roots and those of the configured PEM files together.
pub(crate) fn trusted_roots(
    system: Vec<CertificateDer<'static>>,
    pem_files: &[Vec<u8>],
) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    // Systems ship the odd certificate that is no usable trust anchor; everyone skips them.
    roots.add_parsable_certificates(system);

    for (index, pem) in pem_files.iter().enumerate() {
        add_pem(&mut roots, pem)
            .map_err(|reason| SetupError::TrustedRoot { number: index + 1, reason })?;
    }
    if roots.is_empty() {
        return Err(SetupError::NoRoots);
    }
    Ok(roots)
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), &'static str> {
    let roots_before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "is not valid PEM")?;
        roots.add(certificate).map_err(|_| "has a certificate that cannot be read")?;
    }
    if roots.len() == roots_before {
        return Err("has no certificate in PEM form");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_pem() -> Vec<u8> {
        let root = rcgen::generate_simple_self_signed(["root.example".to_owned()]);
        root.expect("a certificate").cert.pem().into_bytes()
    }

    #[test]
    fn every_certificate_of_every_file_is_trusted() {
        let files = [[root_pem(), root_pem()].concat(), root_pem()];
        let roots = trusted_roots(Vec::new(), &files).expect("roots");
        assert_eq!(roots.len(), 3);
    }

    #[test]
    fn configured_roots_are_added_to_those_of_the_system() {
        let system = CertificateDer::from_pem_slice(&root_pem()).expect("a certificate");
        let roots = trusted_roots(vec![system], &[root_pem()]).expect("roots");
        assert_eq!(roots.len(), 2);
    }

    #[test]
    fn a_machine_without_any_root_is_an_error_that_says_what_to_do() {
        let error = trusted_roots(Vec::new(), &[]).expect_err("no roots");
        assert_eq!(error, SetupError::NoRoots);
        assert!(error.to_string().contains("--trust-ca"));
    }

    #[test]
    fn an_unusable_file_is_an_error_that_says_which() {
        let broken_base64 =
            b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n".to_vec();
        let not_a_certificate =
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        let cases = [
            (broken_base64, "is not valid PEM"),
            (not_a_certificate, "has a certificate that cannot be read"),
            (b"hello".to_vec(), "has no certificate in PEM form"),
            (Vec::new(), "has no certificate in PEM form"),
        ];
        for (bad, reason) in cases {
            let error = trusted_roots(Vec::new(), &[root_pem(), bad]).expect_err("a bad file");
            assert_eq!(error, SetupError::TrustedRoot { number: 2, reason });
            assert_eq!(error.to_string(), format!("file number 2 of --trust-ca {reason}"));
        }
    }

    #[test]
    fn early_data_is_off() {
        let roots = trusted_roots(Vec::new(), &[root_pem()]).expect("roots");
        let config = client_config(roots).expect("a configuration");
        assert!(!config.enable_early_data);
    }
}

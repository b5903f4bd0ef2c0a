//! Reads names and validity from certificates.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tracing::warn;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::file::PemFile;

/// The names in a client's verified certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Such as `CN=ingest, O=Keeptrusts`. May be empty (RFC 5280 section 4.1.2.6).
    pub subject: String,
    /// The DNS names and URIs among the alternative names, such as
    /// `spiffe://keeptrusts.example/ingest`.
    pub alternative_names: Vec<String>,
}

impl ClientCertificate {
    /// None: rustls has verified the certificate, but the X.509 parser cannot read it.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Arc<ClientCertificate>> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.map(|extension| &extension.value.general_names);
        let names = alternatives.into_iter().flatten().filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        });
        Some(Arc::new(ClientCertificate {
            subject: certificate.subject().to_string(),
            alternative_names: names.collect(),
        }))
    }
}

/// Logs when a certificate has expired or is not valid yet. It is used all the same: the clock may
/// be wrong, and only the peers decide.
pub(super) fn warn_if_not_valid_now(file: &PemFile, certificate: &CertificateDer<'_>) {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return };
    let validity = certificate.validity();
    if validity.is_valid() {
        return;
    }
    let (flag, path) = (file.flag, file.path.display());
    let (begin, end) = (&validity.not_before, &validity.not_after);
    warn!(%path, not_before = %begin, not_after = %end, "the certificate of {flag} has expired or is not valid yet: peers will refuse it");
}

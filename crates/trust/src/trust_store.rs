//! The certificates that are trusted, and in what way each of them is.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::certificate::{Certificate, ValidityStatus};
use crate::verifier::Verifier;

/// Whom a client of TLS trusts.
#[derive(Clone, Debug)]
pub struct TrustStore {
    authorities: RootCertStore,
    /// Each is trusted for itself.
    servers: Vec<CertificateDer<'static>>,
}

/// Why a file of certificates cannot be used. The texts go on after the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificates {
    /// It looks like PEM, and is not.
    #[error("is not valid PEM: copy it again, it may be cut off")]
    NotPem,
    /// There is no certificate in it.
    #[error("has no certificate in PEM form: there must be a line -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// One of them is none.
    #[error("has a certificate that cannot be read (number {number})")]
    Unreadable {
        /// Which, from 1.
        number: usize,
    },
    /// Nothing could be verified with one of them.
    #[error(
        "has a certificate with an RSA key of a length that is not accepted (number {number}): 2048 to 8192 bits are"
    )]
    UnusableRsaKey {
        /// Which, from 1.
        number: usize,
    },
    /// One of them is a server's, where authorities are named.
    #[error(
        "has a certificate with server names (subjectAltName), number {number}: name the authority that issues the clients' certificates, which must have none"
    )]
    ServerAsAuthority {
        /// Which, from 1.
        number: usize,
    },
    /// One of them could vouch for nothing.
    #[error(
        "has a certificate that is neither a server's (it has no subjectAltName) nor an authority's (it is not CA:TRUE), number {number}: name the authority that has issued it"
    )]
    NeitherServerNorAuthority {
        /// Which, from 1.
        number: usize,
    },
}

impl TrustStore {
    /// In nobody yet.
    pub fn empty() -> Self {
        Self { authorities: RootCertStore::empty(), servers: Vec::new() }
    }

    /// In whom the system trusts. What cannot be read of its certificates is left out with a
    /// warning: one odd file in a directory of hundreds must not stop the process.
    pub fn from_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's root certificates could not be read");
        }
        Self::from_system_certificates(found.certs)
    }

    fn from_system_certificates(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut trust = Self::empty();
        for certificate in certificates {
            let read = Certificate::read(&certificate);
            let names_servers = read.as_ref().is_some_and(Certificate::names_servers);
            let is_marked = read.as_ref().is_some_and(Certificate::is_marked_as_authority);
            if names_servers {
                trust.servers.push(certificate.clone());
            }
            // Debian's ssl-cert-snakeoil lies among the authorities, and whoever has its key must
            // not speak for others; OpenSSL takes it for no issuer, for want of CA:TRUE.
            if is_marked || !names_servers {
                // Systems ship the odd certificate that is no usable trust anchor; everyone skips
                // them.
                trust.authorities.add_parsable_certificates([certificate]);
            }
        }
        trust
    }

    /// Trusts the certificates in a PEM file as well, each in its way. `flag` is what the file was
    /// named with, for the log.
    pub fn add_pem(&mut self, flag: &'static str, pem: &[u8]) -> Result<(), UnusableCertificates> {
        for (certificate, number) in certificates_in(pem)?.into_iter().zip(1..) {
            self.add(flag, number, certificate)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        flag: &'static str,
        number: usize,
        certificate: CertificateDer<'static>,
    ) -> Result<(), UnusableCertificates> {
        match trusted_as(flag, number, &certificate)? {
            TrustedAs::Server => self.servers.push(certificate),
            TrustedAs::Authority => self
                .authorities
                .add(certificate)
                .map_err(|_| UnusableCertificates::Unreadable { number })?,
        }
        Ok(())
    }

    /// Whether every server would be refused.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.servers.is_empty()
    }

    /// The beginning of a client's configuration: TLS 1.2 and 1.3 by ring, and servers verified by
    /// this trust. Early data stays off (rustls' default): an attacker could replay it (RFC 8446
    /// section 8).
    ///
    /// An error would be a defect of ours: ring has all that it takes.
    pub fn client_config(
        self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
        // An explicit provider: the process-wide default depends on who else is linked in.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier)))
    }

    pub(crate) fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, rustls::Error> {
        Verifier::new(self.authorities, self.servers, provider)
    }
}

/// The authorities in a PEM file whose certificates a server's clients must show. `flag` is what the
/// file was named with, for the log.
///
/// A certificate with server names is refused: as an authority, its key could make a client of any
/// name.
pub fn authorities_from_pem(
    flag: &'static str,
    pem: &[u8],
) -> Result<RootCertStore, UnusableCertificates> {
    let mut authorities = RootCertStore::empty();
    for (certificate, number) in certificates_in(pem)?.into_iter().zip(1..) {
        match trusted_as(flag, number, &certificate)? {
            TrustedAs::Server => return Err(UnusableCertificates::ServerAsAuthority { number }),
            TrustedAs::Authority => authorities
                .add(certificate)
                .map_err(|_| UnusableCertificates::Unreadable { number })?,
        }
    }
    Ok(authorities)
}

/// The certificates in a PEM file, at least one.
fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, UnusableCertificates> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(UnusableCertificates::NoCertificate),
        Ok(found) => Ok(found),
        Err(_) => Err(UnusableCertificates::NotPem),
    }
}

/// What a certificate in a file is trusted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrustedAs {
    Server,
    Authority,
}

fn trusted_as(
    flag: &'static str,
    number: usize,
    certificate: &CertificateDer<'_>,
) -> Result<TrustedAs, UnusableCertificates> {
    let unreadable = UnusableCertificates::Unreadable { number };
    let read = Certificate::read(certificate).ok_or(unreadable)?;
    if read.has_unusable_rsa_key() {
        return Err(UnusableCertificates::UnusableRsaKey { number });
    }
    match read.validity_at(UnixTime::now()) {
        ValidityStatus::Valid => {}
        dates => tracing::warn!(flag, number, ?dates, "a certificate to trust is out of its time"),
    }
    if read.names_servers() {
        Ok(TrustedAs::Server)
    } else if read.is_self_issued() || read.is_marked_as_authority() {
        Ok(TrustedAs::Authority)
    } else {
        Err(UnusableCertificates::NeitherServerNorAuthority { number })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    #[test]
    fn a_server_among_the_systems_authorities_is_none_unless_it_is_marked_as_one() {
        let authority = IsCa::Ca(BasicConstraints::Unconstrained);
        for (is_ca, names, authorities, servers) in [
            (authority, vec![], 1, 0),
            (authority, vec!["localhost".to_owned()], 1, 1),
            (IsCa::ExplicitNoCa, vec!["localhost".to_owned()], 0, 1),
            (IsCa::NoCa, vec![], 1, 0),
        ] {
            let mut params = CertificateParams::new(names).expect("names");
            params.is_ca = is_ca;
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate").into();
            let trust = TrustStore::from_system_certificates(vec![certificate]);
            assert_eq!((trust.authorities.len(), trust.servers.len()), (authorities, servers));
        }
    }

    #[test]
    fn what_is_no_certificate_among_the_systems_is_left_out() {
        let trust = TrustStore::from_system_certificates(vec![vec![0; 8].into()]);
        assert!(trust.is_empty());
    }
}

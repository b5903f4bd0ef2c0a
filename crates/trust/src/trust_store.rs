//! The trusted certificates: authorities and servers.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::certificate::{Certificate, ValidityStatus};
use crate::verifier::Verifier;

/// What a TLS client trusts.
#[derive(Clone, Debug)]
pub struct TrustStore {
    authorities: RootCertStore,
    /// Trusted as servers only.
    servers: Vec<CertificateDer<'static>>,
}

/// Why a file of certificates cannot be used. The texts continue the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificates {
    #[error("is not valid PEM: copy it again, it may be cut off")]
    NotPem,
    #[error("has no certificate in PEM form: there must be a line -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("has a certificate that cannot be read (number {number})")]
    Unreadable {
        /// From 1.
        number: usize,
    },
    #[error(
        "has a certificate with an RSA key of a length that is not accepted (number {number}): 2048 to 8192 bits are"
    )]
    UnusableRsaKey {
        /// From 1.
        number: usize,
    },
    #[error(
        "has a certificate with server names (subjectAltName), number {number}: name the authority that issues the clients' certificates, which must have none"
    )]
    ServerAsAuthority {
        /// From 1.
        number: usize,
    },
    #[error(
        "has a certificate that is neither a server's (it has no subjectAltName) nor an authority's (it is not CA:TRUE), number {number}: name the authority that has issued it"
    )]
    NeitherServerNorAuthority {
        /// From 1.
        number: usize,
    },
}

impl TrustStore {
    pub fn empty() -> Self {
        Self { authorities: RootCertStore::empty(), servers: Vec::new() }
    }

    /// The system's certificates. Those that cannot be read are left out with a warning: one odd file
    /// in a directory of hundreds must not stop the process.
    pub fn from_system() -> Self {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's root certificates could not be read");
        }
        Self::from_system_certificates(system.certs)
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
            // Debian's ssl-cert-snakeoil is among the authorities, and its key must not suffice to
            // impersonate others. OpenSSL does not accept it as an issuer either, without CA:TRUE.
            if is_marked || !names_servers {
                // Systems ship a few certificates that are no usable trust anchors. Other programs skip
                // them too.
                trust.authorities.add_parsable_certificates([certificate]);
            }
        }
        trust
    }

    /// Adds the certificates in a PEM file, as servers or authorities. `flag` names the file's flag in
    /// the log.
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

    /// Starts a client's configuration: TLS 1.2 and 1.3 with ring, and servers verified with this
    /// store. Early data stays off (rustls's default): an attacker could replay it (RFC 8446 section
    /// 8).
    ///
    /// An error would be a bug of ours: ring supports both versions.
    pub fn client_config(
        self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
        // An explicit provider, because the process-wide default depends on what else is linked.
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

/// The authorities in a PEM file, for a server that requires client certificates. `flag` names the
/// file's flag in the log.
///
/// Refuses a certificate with server names: as an authority, its key could issue certificates for
/// clients of any name.
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

/// At least one.
fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, UnusableCertificates> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(UnusableCertificates::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(UnusableCertificates::NotPem),
    }
}

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
    fn a_server_certificate_of_the_system_is_an_authority_only_if_it_is_marked_as_one() {
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
    fn an_unreadable_certificate_of_the_system_is_left_out() {
        let trust = TrustStore::from_system_certificates(vec![vec![0; 8].into()]);
        assert!(trust.is_empty());
    }
}

//! Reads PEM files that flags name.

use std::io;
use std::path::{Path, PathBuf};

use keeptrusts_webhooks_trust::{TrustStore, UnusableCertificates, authorities_from_pem};
use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A file and the flag that names it.
#[derive(Debug, Clone)]
pub(super) struct PemFile {
    pub(super) flag: &'static str,
    pub(super) path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("cannot read the {flag} file {path}: check that it is there and that this user may read it", path = path.display())]
    Unreadable { flag: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the {flag} file {path} has no {wanted} in PEM form: there must be a line -----BEGIN {label}-----", path = path.display()
    )]
    Missing { flag: &'static str, path: PathBuf, wanted: &'static str, label: &'static str },
    #[error("the {flag} file {path} is not valid PEM: copy it again, it may be cut off", path = path.display())]
    NotPem { flag: &'static str, path: PathBuf },
    /// The PEM is valid, but not the certificate or key within.
    #[error("the {flag} file {path} cannot be used", path = path.display())]
    Unusable { flag: &'static str, path: PathBuf, source: rustls::Error },
    /// None of the certificates can be used as an authority.
    #[error("the {flag} file {path} {reason}", path = path.display())]
    NoAuthority { flag: &'static str, path: PathBuf, reason: UnusableCertificates },
    /// The certificate belongs to another key.
    #[error(
        "the {key_flag} file {key} does not fit the first certificate of the {certificate_flag} file {certificate}: give the key that this certificate was issued for", key = key.display(), certificate = certificate.display()
    )]
    KeyMismatch {
        key_flag: &'static str,
        key: PathBuf,
        certificate_flag: &'static str,
        certificate: PathBuf,
    },
    #[error(
        "the system has no root certificates: install them (ca-certificates), or name the authority of the services with --services-ca"
    )]
    NoSystemRoots,
    /// A defect of ours: the provider does not support what rustls needs.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

impl PemFile {
    pub(super) fn of(flag: &'static str, path: &Path) -> PemFile {
        PemFile { flag, path: path.to_owned() }
    }

    /// The certificates in their order, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        let text = self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let certificates = certificates.map_err(|_| self.not_pem())?;
        if certificates.is_empty() {
            return Err(self.missing("certificate", "CERTIFICATE"));
        }
        Ok(certificates)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsFileError> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| match error {
            pem::Error::NoItemsFound => self.missing("private key", "PRIVATE KEY"),
            _ => self.not_pem(),
        })
    }

    /// Trust in the certificates of the file, for a client.
    pub(super) fn trust(&self) -> Result<TrustStore, TlsFileError> {
        let mut trust = TrustStore::empty();
        trust.add_pem(self.flag, &self.read()?).map_err(|reason| self.no_authority(reason))?;
        Ok(trust)
    }

    /// The certificates of the file as authorities of clients, for a server.
    pub(super) fn authorities(&self) -> Result<RootCertStore, TlsFileError> {
        authorities_from_pem(self.flag, &self.read()?).map_err(|reason| self.no_authority(reason))
    }

    fn no_authority(&self, reason: UnusableCertificates) -> TlsFileError {
        TlsFileError::NoAuthority { flag: self.flag, path: self.path.clone(), reason }
    }

    pub(super) fn unusable(&self, source: rustls::Error) -> TlsFileError {
        TlsFileError::Unusable { flag: self.flag, path: self.path.clone(), source }
    }

    /// The error of rustls for this certificate with this key.
    pub(super) fn refused_with(&self, key: &PemFile, error: rustls::Error) -> TlsFileError {
        match error {
            rustls::Error::InconsistentKeys(_) => TlsFileError::KeyMismatch {
                key_flag: key.flag,
                key: key.path.clone(),
                certificate_flag: self.flag,
                certificate: self.path.clone(),
            },
            error @ rustls::Error::InvalidCertificate(_) => self.unusable(error),
            error => key.unusable(error),
        }
    }

    fn read(&self) -> Result<Vec<u8>, TlsFileError> {
        std::fs::read(&self.path).map_err(|source| TlsFileError::Unreadable {
            flag: self.flag,
            path: self.path.clone(),
            source,
        })
    }

    fn not_pem(&self) -> TlsFileError {
        TlsFileError::NotPem { flag: self.flag, path: self.path.clone() }
    }

    fn missing(&self, wanted: &'static str, label: &'static str) -> TlsFileError {
        TlsFileError::Missing { flag: self.flag, path: self.path.clone(), wanted, label }
    }
}

//! Certificate authorities of tests, and the certificates that they issue.

use std::fs;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempPath;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The certificate that a receiver presents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// For 127.0.0.1 and localhost, currently valid, from the receiver's authority.
    #[default]
    Valid,
    /// The same, and for another name.
    ValidFor(&'static str),
    /// From another authority of the same name.
    Untrusted,
    Expired,
    WrongName,
}

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
    /// Whether servers present its own certificate.
    is_server: bool,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Keeptrusts test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer =
            CertifiedIssuer::self_signed(params, new_key()).expect("an authority can be made");
        let pem = issuer.pem();
        Self { issuer, pem, is_server: false }
    }

    /// Its certificate in a file of its own, which is deleted with the path.
    pub(super) fn write_file(&self) -> TempPath {
        let file = tempfile::Builder::new()
            .prefix("keeptrusts-ca-")
            .suffix(".pem")
            .tempfile()
            .expect("a temporary file can be made")
            .into_temp_path();
        fs::write(&file, &self.pem).expect("a temporary file can be written");
        file
    }

    /// A self-signed server certificate with the extensions of
    /// `openssl req -x509 -addext subjectAltName=DNS:localhost,IP:127.0.0.1`: it is marked as an
    /// authority and has no key usage. Servers present it in place of [`Certificate::Valid`].
    pub fn self_signed_server() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        let issuer = CertifiedIssuer::self_signed(params, new_key()).expect("it can sign itself");
        let pem = issuer.pem();
        Self { issuer, pem, is_server: true }
    }

    /// The certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for this machine and for a client of this name, and its key, in PEM.
    pub fn identity_pem(&self, name: &str) -> (String, String) {
        if self.is_server {
            return self.own_identity_pem();
        }
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = new_key();
        let issued = params.signed_by(&key, &self.issuer).expect("a certificate can be issued");
        (issued.pem(), key.serialize_pem())
    }

    /// Its own certificate and key, in PEM.
    pub fn own_identity_pem(&self) -> (String, String) {
        (self.pem.clone(), self.issuer.key().serialize_pem())
    }

    pub(crate) fn server_config(
        &self,
        certificate: Certificate,
        http1_only: bool,
    ) -> Arc<ServerConfig> {
        let (chain, key) = match certificate {
            Certificate::Untrusted => Self::new().issue(certificate),
            _ => self.issue(certificate),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("the key is the certificate's");
        config.alpn_protocols = if http1_only {
            vec![b"http/1.1".to_vec()]
        } else {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        };
        Arc::new(config)
    }

    fn issue(&self, certificate: Certificate) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        if self.is_server && certificate == Certificate::Valid {
            let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("its own PEM");
            return (own, PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der()).into());
        }
        let mut names = match certificate {
            Certificate::WrongName => vec!["receiver.invalid".to_owned()],
            _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        };
        if let Certificate::ValidFor(name) = certificate {
            names.push(name.to_owned());
        }
        let mut params = CertificateParams::new(names).expect("the names are valid");
        if certificate == Certificate::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        }
        let key = new_key();
        let issued = params.signed_by(&key, &self.issuer).expect("a certificate can be issued");
        (issued.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}

//! The certificate authority of these tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Issues certificates for receivers.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A receiver's certificate chain and key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("authority of the tests")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    /// An authority that has server names of its own.
    pub(crate) fn with_server_names(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(like_openssl(names), key).unwrap() }
    }

    /// A certificate for receivers on loopback.
    pub(crate) fn identity(&self) -> Identity {
        self.identity_with(&["127.0.0.1", "localhost"], |_| {})
    }

    pub(crate) fn identity_for(&self, name: &str) -> Identity {
        self.identity_with(&[name], |_| {})
    }

    pub(crate) fn expired_identity(&self) -> Identity {
        self.identity_with(&["127.0.0.1"], |params| {
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    pub(crate) fn identity_of_the_future(&self) -> Identity {
        self.identity_with(&["127.0.0.1"], |params| {
            params.not_before = date_time_ymd(4000, 1, 1);
        })
    }

    fn identity_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.into()], key: key.into() }
    }
}

/// The extensions of `openssl req -x509 -addext subjectAltName=…`: key identifiers and CA:TRUE,
/// neither key usage nor extended key usage.
fn like_openssl(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    params
}

/// A certificate as `openssl req -x509` makes it, and its PEM.
pub(crate) fn self_signed(names: &[&str]) -> (Identity, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = like_openssl(names).self_signed(&key).unwrap();
    let pem = certificate.pem().into_bytes();
    (Identity { chain: vec![certificate.into()], key: key.into() }, pem)
}

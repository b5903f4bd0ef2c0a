//! Servers' certificates with their keys, and the authorities that issue them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The certificates that a server presents, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The first certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        pem(&self.chain[0])
    }
}

pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// An RSA key of 2048 bits. Neither rcgen nor ring can make one.
pub(crate) fn rsa_key() -> KeyPair {
    KeyPair::from_pkcs8_pem_and_sign_algo(include_str!("data/rsa.key"), &PKCS_RSA_SHA256)
        .expect("a key")
}

fn pkcs8(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// Parameters of a certificate with this common name, for these DNS names and addresses.
pub(crate) fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// The extensions of `openssl req -x509 -addext subjectAltName=…`: key identifiers, and a critical
/// CA:TRUE without limit; neither key usage nor extended key usage.
pub(crate) fn like_openssl(common_name: &str, names: &[&str]) -> CertificateParams {
    let mut params = params(common_name, names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    params
}

/// A self-signed certificate.
pub(crate) fn self_signed(params: &CertificateParams, key: &KeyPair) -> Identity {
    let certificate = params.self_signed(key).expect("a certificate");
    Identity { chain: vec![certificate.into()], key: pkcs8(key) }
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// With a name that no other authority of a test has, or the same for namesakes.
    pub(crate) fn named(name: &str) -> Self {
        Self::with(like_openssl(name, &[]))
    }

    pub(crate) fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// One that this one has issued.
    pub(crate) fn intermediate(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("an authority");
        Self { issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem().as_bytes()).expect("PEM")
    }

    /// A certificate of this authority, shown without the authority's own.
    pub(crate) fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { chain: vec![certificate.into()], key: pkcs8(&key) }
    }
}

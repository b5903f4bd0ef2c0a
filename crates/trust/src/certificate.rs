//! Reads the parts of a certificate that rustls does not expose. Verifying is rustls's.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The lengths of RSA keys that ring accepts, in bits.
const RSA_KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

pub(crate) struct Certificate<'a> {
    parsed: X509Certificate<'a>,
    names_servers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValidityStatus {
    Valid,
    NotYetValid,
    Expired,
}

impl<'a> Certificate<'a> {
    /// `None`: it, or its server names, cannot be parsed.
    pub(crate) fn read(der: &'a CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let alternatives = parsed.subject_alternative_name().ok()?;
        let names_servers = alternatives.is_some_and(|extension| {
            extension
                .value
                .general_names
                .iter()
                .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
        });
        Some(Self { parsed, names_servers })
    }

    /// Whether its subjectAltName has a DNS name or an IP address.
    pub(crate) fn names_servers(&self) -> bool {
        self.names_servers
    }

    /// Whether it is marked as an issuer (RFC 5280 section 4.2.1.9).
    pub(crate) fn is_marked_as_authority(&self) -> bool {
        self.parsed.is_ca()
    }

    /// Whether its subject is its issuer, which does not prove that it signed itself.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject() == self.issuer()
    }

    pub(crate) fn is_self_signed(&self, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        self.is_issued_by(self, algorithms)
    }

    /// Whether it names this issuer and is signed with the issuer's key.
    pub(crate) fn is_issued_by(
        &self,
        issuer: &Certificate<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let key = &issuer.parsed.public_key().subject_public_key.data;
        let message = self.parsed.tbs_certificate.as_ref();
        let signature = &self.parsed.signature_value.data;
        self.issuer() == issuer.subject()
            // Whichever algorithm verifies it, the owner of the key signed it.
            && algorithms.all.iter().any(|algorithm| {
                algorithm.verify_signature(key, message, signature).is_ok()
            })
    }

    /// In DER.
    pub(crate) fn subject(&self) -> &[u8] {
        self.parsed.subject().as_raw()
    }

    /// In DER.
    pub(crate) fn issuer(&self) -> &[u8] {
        self.parsed.issuer().as_raw()
    }

    /// Whether its RSA key is too short or too long for ring.
    pub(crate) fn has_unusable_rsa_key(&self) -> bool {
        match self.parsed.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => !RSA_KEY_BITS.contains(&key.key_size()),
            _ => false,
        }
    }

    /// Whether a TLS server may use it (RFC 5280 section 4.2.1.12): it says so, or does not restrict
    /// its use.
    pub(crate) fn is_for_servers(&self) -> bool {
        match self.parsed.extended_key_usage() {
            Ok(None) => true,
            Ok(Some(usage)) => usage.value.server_auth,
            Err(_) => false,
        }
    }

    pub(crate) fn validity_at(&self, now: UnixTime) -> ValidityStatus {
        let validity = self.parsed.validity();
        // ValidityStatus before 1970 are negative here; the present is not.
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < validity.not_before.timestamp() {
            ValidityStatus::NotYetValid
        } else if now > validity.not_after.timestamp() {
            ValidityStatus::Expired
        } else {
            ValidityStatus::Valid
        }
    }
}

//! Why a certificate was refused, in words for those who can fix it.

use std::error::Error;
use std::fmt;

use rustls::CertificateError;

use crate::error_source::find_source;

/// The texts hold nothing that the server sent. They continue "the certificate was rejected:".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    #[error("none was shown")]
    NoneShown,
    #[error("it is self-signed, and none of those that are trusted")]
    SelfSigned,
    #[error("its issuer is not trusted")]
    UnknownIssuer,
    #[error(
        "its issuer is trusted as a server and not as an authority, because it has server names (subjectAltName) of its own"
    )]
    IssuerIsServer,
    #[error(
        "it names no server: it has no DNS name or address in subjectAltName, and its common name does not count"
    )]
    NoServerNames,
    #[error("it is not for the host name or address in the URL")]
    WrongName,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet (check both clocks)")]
    NotValidYet,
    #[error("a certificate between it and its authority has expired")]
    IssuerExpired,
    #[error("a certificate between it and its authority is not valid yet (check both clocks)")]
    IssuerNotValidYet,
    #[error(
        "the trusted issuer that it names did not sign it (if a private authority was made anew, trust its new certificate)"
    )]
    NotSignedByIssuer,
    #[error("a certificate in its chain was not signed by the issuer that is served with it")]
    BrokenChain,
    #[error("the handshake was not signed with its key")]
    KeyNotProven,
    #[error("it has been revoked")]
    Revoked,
    #[error(
        "it, or a certificate between it and its authority, is not meant for TLS servers (its extended key usage lacks serverAuth)"
    )]
    NotForServers,
    #[error("it is an authority's certificate (CA:TRUE), not a server's")]
    AuthorityAsServer,
    #[error("a certificate in its chain was issued by one that is not an authority's")]
    IssuerIsNoAuthority,
    #[error(
        "an authority in its chain may not issue such certificates (its constraints forbid it)"
    )]
    NotPermitted,
    #[error(
        "it or its issuer has an RSA key of a length that is not accepted (2048 to 8192 bits are)"
    )]
    UnusableRsaKey,
    #[error(
        "a signature of it or of its chain is by an algorithm or a key that is not accepted (RSA with SHA-256, SHA-384 or SHA-512, ECDSA on P-256 or P-384, and Ed25519 are)"
    )]
    UnsupportedSignature,
    #[error("it is a certificate of an old version (X.509 version 3 is needed)")]
    OldVersion,
    #[error("it or its chain has a critical extension that is not supported")]
    UnknownExtension,
    #[error("it or its chain is malformed")]
    Malformed,
    #[error("it was not accepted")]
    Other,
}

impl CertificateProblem {
    /// Searches `error` and the errors that it wraps.
    pub fn find_in(error: &(dyn Error + 'static)) -> Option<Self> {
        Self::from_rustls(find_source::<rustls::Error>(error)?)
    }

    /// `None`: the error is not about a certificate.
    pub fn from_rustls(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(error) => Some(Self::from_certificate_error(error)),
            rustls::Error::NoCertificatesPresented => Some(Self::NoneShown),
            _ => None,
        }
    }

    /// Adds advice for operators. `flag` names further certificates to trust.
    pub fn with_advice(self, flag: &'static str) -> impl fmt::Display {
        WithAdvice { problem: self, flag }
    }

    /// The text for a client's certificate.
    pub fn client_message(self) -> String {
        match self {
            Self::NoneShown => "none was shown, and one is needed".to_owned(),
            Self::AuthorityAsServer => {
                "it is an authority's certificate (CA:TRUE): have it issue one for the client"
                    .to_owned()
            }
            Self::NotForServers => {
                "it, or a certificate between it and its authority, is not meant for TLS clients (its extended key usage lacks clientAuth)"
                    .to_owned()
            }
            other => other.to_string(),
        }
    }

    fn from_certificate_error(error: &CertificateError) -> Self {
        #[allow(deprecated)] // A verifier may still report it.
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotValidYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::BadSignature => Self::NotSignedByIssuer,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForServers
            }
            CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::UnsupportedSignature
            }
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::UnhandledCriticalExtension => Self::UnknownExtension,
            CertificateError::Other(other) => {
                let ours = find_source::<Self>(other).copied();
                ours.or_else(|| find_source(other).map(Self::from_webpki)).unwrap_or(Self::Other)
            }
            _ => Self::Other,
        }
    }

    /// Problems for which rustls has no value of its own.
    fn from_webpki(error: &webpki::Error) -> Self {
        use webpki::Error as Webpki;
        match error {
            Webpki::CaUsedAsEndEntity => Self::AuthorityAsServer,
            Webpki::EndEntityUsedAsCa => Self::IssuerIsNoAuthority,
            Webpki::NameConstraintViolation | Webpki::PathLenConstraintViolated => {
                Self::NotPermitted
            }
            Webpki::EmptyEkuExtension => Self::NotForServers,
            Webpki::UnsupportedCertVersion => Self::OldVersion,
            Webpki::UnsupportedCriticalExtension => Self::UnknownExtension,
            Webpki::ExtensionValueInvalid
            | Webpki::InvalidNetworkMaskConstraint
            | Webpki::InvalidSerialNumber
            | Webpki::MalformedDnsIdentifier
            | Webpki::MalformedExtensions
            | Webpki::MalformedNameConstraint
            | Webpki::SignatureAlgorithmMismatch => Self::Malformed,
            _ => Self::Other,
        }
    }
}

struct WithAdvice {
    problem: CertificateProblem,
    flag: &'static str,
}

impl fmt::Display for WithAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problem, flag } = self;
        write!(f, "{problem}")?;
        match problem {
            CertificateProblem::SelfSigned => write!(
                f,
                " (serve one that an authority has issued, or have this one named in {flag})"
            ),
            CertificateProblem::UnknownIssuer => {
                write!(f, " (serve the whole chain, or trust the issuer with {flag})")
            }
            CertificateProblem::IssuerIsServer => {
                write!(f, " (an authority in {flag} must have none)")
            }
            _ => Ok(()),
        }
    }
}

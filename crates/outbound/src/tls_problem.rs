//! Why TLS failed, in words that an administrator can act on.

/// Why TLS failed, other than because of the receiver's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    #[error("the receiver answered with something that is not TLS (is it the right port?)")]
    NotTls,
    #[error("the receiver supports neither TLS 1.2 nor TLS 1.3")]
    VersionTooOld,
    #[error("no cipher suite, key exchange or signature algorithm in common")]
    NothingInCommon,
    #[error("the receiver does not support a part of TLS that is needed")]
    Incompatible,
    #[error(
        "the receiver ended the handshake with the TLS alert handshake_failure, which does not say why (often there is no cipher suite, key exchange or signature algorithm in common)"
    )]
    HandshakeFailure,
    #[error("the receiver requires stronger encryption than is offered to it")]
    InsufficientSecurity,
    #[error("the receiver offers neither HTTP/2 nor HTTP/1.1 (by ALPN)")]
    NoHttp,
    #[error(
        "the receiver asked for a client certificate, which deliveries do not have, and ended the connection"
    )]
    ClientCertificateRequired,
    #[error("the receiver does not serve the URL's host name")]
    UnrecognisedName,
    /// Any other alert, by its name in IANA's registry.
    #[error("the receiver ended the connection with the TLS alert {0}")]
    Alert(&'static str),
    #[error("the receiver closed the connection during the handshake")]
    Closed,
    #[error("the connection broke during the handshake")]
    Broken,
    /// Or what the receiver sent was changed on the way.
    #[error("the receiver did not follow the protocol")]
    Violated,
    #[error("it could not be carried on here (an operator can look at this process)")]
    Internal,
}

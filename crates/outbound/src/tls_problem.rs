//! Why TLS failed, in words that an administrator can act on.

/// Why TLS failed, other than by the receiver's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// What the receiver sent is not TLS.
    #[error("the receiver answered with something that is not TLS (is it the right port?)")]
    NotTls,
    /// The receiver's versions of TLS are too old.
    #[error("the receiver supports neither TLS 1.2 nor TLS 1.3")]
    VersionTooOld,
    /// The receiver has chosen what we do not support.
    #[error("no cipher suite, key exchange or signature algorithm in common")]
    NothingInCommon,
    /// The receiver lacks an extension that we need.
    #[error("the receiver does not support a part of TLS that is needed")]
    Incompatible,
    /// The alert of that name, which has many reasons.
    #[error(
        "the receiver ended the handshake with the TLS alert handshake_failure, which does not say why (often there is no cipher suite, key exchange or signature algorithm in common)"
    )]
    HandshakeFailure,
    /// The receiver wants stronger encryption than we support.
    #[error("the receiver requires stronger encryption than is offered to it")]
    InsufficientSecurity,
    /// The receiver speaks neither version of HTTP.
    #[error("the receiver offers neither HTTP/2 nor HTTP/1.1 (by ALPN)")]
    NoHttp,
    /// The receiver asked for a client certificate, which we do not have, and that was the end.
    #[error(
        "the receiver asked for a client certificate, which deliveries do not have, and ended the connection"
    )]
    ClientCertificateRequired,
    /// The receiver does not serve the name that it was asked for.
    #[error("the receiver does not serve the URL's host name")]
    UnrecognisedName,
    /// The receiver ended the connection with another alert.
    #[error("the receiver ended the connection with the TLS alert {0}")]
    Alert(&'static str),
    /// The receiver ended the connection during the handshake.
    #[error("the receiver closed the connection during the handshake")]
    Closed,
    /// The connection ended during the handshake, by nobody's will.
    #[error("the connection broke during the handshake")]
    Broken,
    /// The receiver did not follow the protocol, or what it sent was changed on the way.
    #[error("the receiver did not follow the protocol")]
    Violated,
    /// Our side of TLS has failed.
    #[error("it could not be carried on here (an operator can look at this process)")]
    Internal,
}

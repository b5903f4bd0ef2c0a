//! Why a request ended without an answer, in words that an administrator can act on.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use keeptrusts_webhooks_trust::CertificateProblem;

use crate::guard::RefusedAddress;
use crate::limits::{HTTP2_MAX_HEAD, MAX_INFORMATIONAL_ANSWERS, MAX_READ_HEAD};
use crate::local_names::RefusedName;
use crate::ports::RefusedPort;
use crate::tls_problem::TlsProblem;

/// The flag that names the files with further certificates to trust.
pub(crate) const TRUST_FLAG: &str = "--trust-ca";

/// Why a request ended without an answer. The texts hold nothing that the receiver sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    #[error("the URL is not https")]
    NotHttps,
    #[error("the URL cannot be used: {reason}")]
    UnusableUrl { reason: &'static str },

    #[error("the URL's host name has no address (check the name and its DNS records)")]
    NoAddress,
    #[error("the URL's host name could not be resolved (no DNS server gave a usable answer)")]
    ResolutionFailed,
    #[error("resolving the URL's host name took too long")]
    ResolutionTimedOut,
    #[error(transparent)]
    AddressRefused(#[from] RefusedAddress),
    /// Every address that the name resolves to is refused. Only the process's own log says which
    /// addresses these are.
    #[error(
        "the URL's host name resolves to an address that deliveries may not reach (an operator finds it in the log of this process, and can permit it with --allow-network)"
    )]
    ResolvedAddressRefused,
    #[error(transparent)]
    PortRefused(#[from] RefusedPort),
    #[error(transparent)]
    NameRefused(#[from] RefusedName),

    #[error(
        "{address} refused the connection (nothing listens on that port, or a firewall refuses it)"
    )]
    ConnectionRefused { address: TriedAddress },
    #[error(
        "{address} cannot be reached from here (there is no route to it, or no address of ours that reaches it)"
    )]
    Unreachable { address: TriedAddress },
    #[error("connecting to {address} took too long (a firewall may be dropping packets)")]
    ConnectTimedOut { address: TriedAddress },
    #[error("could not open a connection to {address}")]
    ConnectFailed { address: TriedAddress },

    /// This process or its machine has no socket left. No request ends with this failure: it waits.
    #[error(
        "this server has too many files and connections open to make another (an operator can raise its limit of open files)"
    )]
    OutOfSockets,

    #[error("the outbound proxy cannot be reached (an operator can check --outbound-proxy)")]
    ProxyUnreachable,
    /// The outbound proxy requires credentials, or rejected ours.
    #[error(
        "the outbound proxy answered 407: it wants a user name and password (an operator can give the right ones with --outbound-proxy)"
    )]
    ProxyWantsCredentials,
    #[error("the outbound proxy did not connect to {address}: it answered {status}", status = status.as_u16())]
    ProxyRefused { address: TriedAddress, status: StatusCode },
    #[error("the outbound proxy did not connect to {address} in time")]
    ProxyTimedOut { address: TriedAddress },
    #[error(
        "the outbound proxy hung up or answered with something that is not HTTP (an operator can check --outbound-proxy)"
    )]
    ProxyViolated,

    #[error("the receiver's certificate was rejected: {}", .0.with_advice(TRUST_FLAG))]
    CertificateRejected(CertificateProblem),
    #[error("TLS failed: {0}")]
    TlsFailed(TlsProblem),
    #[error("the TLS handshake took too long")]
    TlsTimedOut,

    #[error(
        "the receiver closed the connection before a request was sent (it had agreed to HTTP/2)"
    )]
    Http2NotBegun,
    #[error("the receiver agreed to HTTP/2 (by ALPN) and then spoke HTTP/1.1")]
    Http1InsteadOfHttp2,
    #[error(
        "the receiver agreed to HTTP/2, but what it began with breaks the rules of HTTP/2 (its settings, or what came instead of them)"
    )]
    Http2BegunWrongly,
    #[error(
        "the receiver agreed to HTTP/2 but allows no requests (its SETTINGS_MAX_CONCURRENT_STREAMS is 0)"
    )]
    Http2WithoutStreams,
    #[error("the receiver agreed to HTTP/2 and then asked for HTTP/1.1 (HTTP_1_1_REQUIRED)")]
    Http1Wanted,
    #[error("the receiver agreed to HTTP/2 but did not send its settings in time")]
    Http2TimedOut,

    /// The receiver may have got the request.
    #[error("the receiver closed the connection before it answered")]
    ConnectionClosed,
    /// There may have been an answer: what has arrived is lost with the connection if more is sent
    /// on it.
    #[error(
        "the receiver closed the connection while it was being sent the request (does it limit the size of bodies?)"
    )]
    ClosedWhileSending,
    #[error(
        "the connection to the receiver broke: it answered neither the request nor an HTTP/2 PING"
    )]
    ConnectionSilent,
    #[error(
        "the receiver did not let the whole request be sent in time (HTTP/2 flow control: it opened no window for the body)"
    )]
    BodyNotTaken,
    #[error("the receiver reset the request without answering it (HTTP/2 RST_STREAM)")]
    RequestReset,
    #[error(
        "the receiver did not process the request on any of {connections} connections (HTTP/2 GOAWAY or REFUSED_STREAM, or closed at once)"
    )]
    NeverProcessed { connections: usize },
    /// And the status is not known.
    #[error("the answer's headers are too large (more than {} KiB)", MAX_READ_HEAD / 1024)]
    AnswerHeadersTooLarge,
    #[error(
        "the receiver sent more than {MAX_INFORMATIONAL_ANSWERS} informational (1xx) answers and no final one"
    )]
    TooManyInformational,
    #[error("the receiver answered with something that is not HTTP")]
    NotHttp,
    /// h2 has one error for both. The status did not arrive, or could not be read.
    #[error(
        "the answer breaks the rules of HTTP/2, or its headers are larger than {} KiB",
        HTTP2_MAX_HEAD / 1024
    )]
    Http2Violated,
    #[error("the receiver sent HTTP/2 frames without end instead of an answer")]
    Flooded,
    /// The receiver may have got the request.
    #[error("no answer within {after:?}")]
    AnswerTimedOut { after: Duration },
}

/// The kind of a failure, as a metric's label: few values, the same for all receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    Timeout,
    /// No connection, no TLS, or no valid HTTP.
    Connection,
    /// The destination is not permitted.
    Refused(RefusedPart),
}

/// Which part of the destination is not permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPart {
    /// Whether the URL names it or a name resolved to it.
    Address,
    Port,
    /// It was not looked up.
    Name,
}

/// The address of a connection attempt, as far as a customer may know it.
///
/// What a name resolves to may be known in our own networks only. Otherwise a customer could have us
/// look up one name after the other, and map these networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriedAddress {
    InUrl(SocketAddr),
    Resolved,
}

impl fmt::Display for TriedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TriedAddress::InUrl(address) => address.fmt(f),
            TriedAddress::Resolved => f.write_str("the receiver's address"),
        }
    }
}

impl From<SocketAddr> for TriedAddress {
    fn from(address: SocketAddr) -> Self {
        TriedAddress::InUrl(address)
    }
}

impl SendFailure {
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::AddressRefused(_) | Self::ResolvedAddressRefused => {
                FailureKind::Refused(RefusedPart::Address)
            }
            Self::PortRefused(_) => FailureKind::Refused(RefusedPart::Port),
            Self::NameRefused(_) => FailureKind::Refused(RefusedPart::Name),
            Self::ResolutionTimedOut
            | Self::ConnectTimedOut { .. }
            | Self::ProxyTimedOut { .. }
            | Self::TlsTimedOut
            | Self::Http2TimedOut
            | Self::Http2WithoutStreams
            | Self::BodyNotTaken
            | Self::ConnectionSilent
            | Self::AnswerTimedOut { .. } => FailureKind::Timeout,
            Self::NotHttps
            | Self::UnusableUrl { .. }
            | Self::NoAddress
            | Self::ResolutionFailed
            | Self::ConnectionRefused { .. }
            | Self::Unreachable { .. }
            | Self::ConnectFailed { .. }
            | Self::OutOfSockets
            | Self::ProxyUnreachable
            | Self::ProxyWantsCredentials
            | Self::ProxyRefused { .. }
            | Self::ProxyViolated
            | Self::CertificateRejected(_)
            | Self::TlsFailed(_)
            | Self::Http2NotBegun
            | Self::Http1InsteadOfHttp2
            | Self::Http2BegunWrongly
            | Self::Http1Wanted
            | Self::ConnectionClosed
            | Self::ClosedWhileSending
            | Self::RequestReset
            | Self::NeverProcessed { .. }
            | Self::AnswerHeadersTooLarge
            | Self::TooManyInformational
            | Self::NotHttp
            | Self::Http2Violated
            | Self::Flooded => FailureKind::Connection,
        }
    }

    /// How far opening the connection came: 0 for TCP, 1 for TLS and HTTP.
    pub(crate) fn stage(&self) -> u8 {
        match self {
            Self::CertificateRejected(_)
            | Self::TlsFailed(_)
            | Self::TlsTimedOut
            | Self::Http1InsteadOfHttp2
            | Self::Http2BegunWrongly
            | Self::Http2WithoutStreams
            | Self::Http1Wanted
            | Self::Http2NotBegun
            | Self::Http2TimedOut => 1,
            _ => 0,
        }
    }

    /// Whether the address is not to blame: the failure is the outbound proxy's or our own, or the
    /// receiver only wants another version of HTTP.
    pub(crate) fn is_not_of_address(&self) -> bool {
        matches!(
            self,
            Self::ProxyUnreachable
                | Self::ProxyWantsCredentials
                | Self::ProxyViolated
                | Self::OutOfSockets
                | Self::Http1Wanted
        )
    }

    /// The failure of a connection to a name: it shows no address.
    pub(crate) fn without_address(mut self) -> Self {
        match &mut self {
            Self::AddressRefused(_) => return Self::ResolvedAddressRefused,
            Self::ConnectionRefused { address }
            | Self::Unreachable { address }
            | Self::ConnectTimedOut { address }
            | Self::ConnectFailed { address }
            | Self::ProxyRefused { address, .. }
            | Self::ProxyTimedOut { address } => *address = TriedAddress::Resolved,
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn failures_of_the_proxy_or_our_own_are_not_blamed_on_the_address() {
        let address = SocketAddr::from(([192, 0, 2, 1], 443)).into();
        for blameless in [
            SendFailure::OutOfSockets,
            SendFailure::ProxyUnreachable,
            SendFailure::ProxyWantsCredentials,
            SendFailure::ProxyViolated,
            SendFailure::Http1Wanted,
        ] {
            assert!(blameless.is_not_of_address(), "{blameless}");
        }
        for its_fault in [
            SendFailure::ConnectionRefused { address },
            SendFailure::ProxyTimedOut { address },
            SendFailure::TlsTimedOut,
            SendFailure::Http2NotBegun,
            SendFailure::Http2WithoutStreams,
        ] {
            assert!(!its_fault.is_not_of_address(), "{its_fault}");
        }
    }

    #[test]
    fn the_failure_of_a_name_shows_no_address_and_says_what_to_do() {
        let address = SocketAddr::from(([10, 1, 2, 3], 8443)).into();
        let refused =
            RefusedAddress { address: IpAddr::from([10, 1, 2, 3]), reason: "private address" };
        let status = StatusCode::BAD_GATEWAY;
        for failure in [
            refused.into(),
            SendFailure::ConnectionRefused { address },
            SendFailure::Unreachable { address },
            SendFailure::ConnectTimedOut { address },
            SendFailure::ConnectFailed { address },
            SendFailure::ProxyRefused { address, status },
            SendFailure::ProxyTimedOut { address },
        ] {
            assert!(failure.to_string().contains("10.1.2.3"), "{failure}");
            let shown = failure.without_address();
            assert!(!format!("{shown} {shown:?}").contains("10.1"), "{shown:?}");
            assert!(!shown.to_string().contains("private"), "{shown}");
        }
        assert_eq!(
            SendFailure::ConnectionRefused { address }.without_address().to_string(),
            "the receiver's address refused the connection (nothing listens on that port, or a \
             firewall refuses it)"
        );
        assert!(SendFailure::ResolvedAddressRefused.to_string().contains("--allow-network"));
    }
}

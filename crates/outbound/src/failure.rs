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

/// Why a request ended without an answer.
///
/// The texts are our own and hold nothing that the receiver sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// The URL's scheme is not `https`.
    #[error("the URL is not https")]
    NotHttps,
    /// The URL cannot be connected to, whatever the network does.
    #[error("the URL cannot be used: {reason}")]
    UnusableUrl {
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The name has no address.
    #[error("the URL's host name has no address (check the name and its DNS records)")]
    NoAddress,
    /// No DNS server gave a usable answer.
    #[error("the URL's host name could not be resolved (no DNS server gave a usable answer)")]
    ResolutionFailed,
    /// The DNS servers took too long.
    #[error("resolving the URL's host name took too long")]
    ResolutionTimedOut,
    /// The URL's host is an address that must not be connected to.
    #[error(transparent)]
    AddressRefused(#[from] RefusedAddress),
    /// The URL's host is a name that resolves only to addresses that must not be connected to.
    /// Which, and what they are for, is in the process's own log only.
    #[error(
        "the URL's host name resolves to an address that deliveries may not reach (an operator finds it in the log of this process, and can permit it with --allow-network)"
    )]
    ResolvedAddressRefused,
    /// The port must not be connected to.
    #[error(transparent)]
    PortRefused(#[from] RefusedPort),
    /// The host is a name that only a machine or a private network knows.
    #[error(transparent)]
    NameRefused(#[from] RefusedName),

    /// The address answered that it takes no connections on that port.
    #[error(
        "{address} refused the connection (nothing listens on that port, or a firewall refuses it)"
    )]
    ConnectionRefused {
        /// The address that was tried.
        address: TriedAddress,
    },
    /// There is no way to the address.
    #[error(
        "{address} cannot be reached from here (there is no route to it, or no address of ours that reaches it)"
    )]
    Unreachable {
        /// The address that was tried.
        address: TriedAddress,
    },
    /// The address did not accept the connection in time.
    #[error("connecting to {address} took too long (a firewall may be dropping packets)")]
    ConnectTimedOut {
        /// The address that was tried.
        address: TriedAddress,
    },
    /// Connecting failed in another way.
    #[error("could not open a connection to {address}")]
    ConnectFailed {
        /// The address that was tried.
        address: TriedAddress,
    },

    /// This process, or its machine, has no socket left. No request ends with it: it waits.
    #[error(
        "this server has too many files and connections open to make another (an operator can raise its limit of open files)"
    )]
    OutOfSockets,

    /// No connection to the outbound proxy.
    #[error("the outbound proxy cannot be reached (an operator can check --outbound-proxy)")]
    ProxyUnreachable,
    /// The outbound proxy wants to know who we are, or did not accept who we said we are.
    #[error(
        "the outbound proxy answered 407: it wants a user name and password (an operator can give the right ones with --outbound-proxy)"
    )]
    ProxyWantsCredentials,
    /// The outbound proxy would or could not connect.
    #[error("the outbound proxy did not connect to {address}: it answered {status}", status = status.as_u16())]
    ProxyRefused {
        /// The address that it was asked for.
        address: TriedAddress,
        /// Its answer.
        status: StatusCode,
    },
    /// The outbound proxy did not connect in time.
    #[error("the outbound proxy did not connect to {address} in time")]
    ProxyTimedOut {
        /// The address that it was asked for.
        address: TriedAddress,
    },
    /// The outbound proxy is no HTTP proxy, or hung up.
    #[error(
        "the outbound proxy hung up or answered with something that is not HTTP (an operator can check --outbound-proxy)"
    )]
    ProxyViolated,

    /// The receiver's certificate was not accepted.
    #[error("the receiver's certificate was rejected: {}", .0.with_advice(TRUST_FLAG))]
    CertificateRejected(CertificateProblem),
    /// The TLS handshake failed for a reason other than the certificate.
    #[error("TLS failed: {0}")]
    TlsFailed(TlsProblem),
    /// The receiver accepted the connection but did not finish the TLS handshake in time.
    #[error("the TLS handshake took too long")]
    TlsTimedOut,

    /// The receiver has chosen HTTP/2 (by ALPN), and closed the connection instead of beginning.
    #[error(
        "the receiver closed the connection before a request was sent (it had agreed to HTTP/2)"
    )]
    Http2NotBegun,
    /// The receiver has chosen HTTP/2 (by ALPN), and answered by HTTP/1.
    #[error("the receiver agreed to HTTP/2 (by ALPN) and then spoke HTTP/1.1")]
    Http1InsteadOfHttp2,
    /// The receiver has chosen HTTP/2 (by ALPN), and began with what breaks its rules.
    #[error(
        "the receiver agreed to HTTP/2, but what it began with breaks the rules of HTTP/2 (its settings, or what came instead of them)"
    )]
    Http2BegunWrongly,
    /// The receiver has chosen HTTP/2 (by ALPN), and allowed no request until the time was over.
    #[error(
        "the receiver agreed to HTTP/2 but allows no requests (its SETTINGS_MAX_CONCURRENT_STREAMS is 0)"
    )]
    Http2WithoutStreams,
    /// The receiver has chosen HTTP/2 (by ALPN), and then said that it wants HTTP/1.1.
    #[error("the receiver agreed to HTTP/2 and then asked for HTTP/1.1 (HTTP_1_1_REQUIRED)")]
    Http1Wanted,
    /// The receiver has chosen HTTP/2 (by ALPN), and did not begin in time.
    #[error("the receiver agreed to HTTP/2 but did not send its settings in time")]
    Http2TimedOut,

    /// The connection ended before an answer arrived. The receiver may have got the request.
    #[error("the receiver closed the connection before it answered")]
    ConnectionClosed,
    /// The connection ended while the request was being sent, and there was no answer. There may
    /// have been one: what has arrived is lost with the connection if more is sent on it.
    #[error(
        "the receiver closed the connection while it was being sent the request (does it limit the size of bodies?)"
    )]
    ClosedWhileSending,
    /// The connection went silent: the receiver answered neither the request nor a PING.
    #[error(
        "the connection to the receiver broke: it answered neither the request nor an HTTP/2 PING"
    )]
    ConnectionSilent,
    /// The time was over, and the receiver had not let the whole request be sent (HTTP/2).
    #[error(
        "the receiver did not let the whole request be sent in time (HTTP/2 flow control: it opened no window for the body)"
    )]
    BodyNotTaken,
    /// The receiver reset the request, without an answer (HTTP/2).
    #[error("the receiver reset the request without answering it (HTTP/2 RST_STREAM)")]
    RequestReset,
    /// The receiver said of a request that it had not processed it, again and again.
    #[error(
        "the receiver did not process the request on any of {connections} connections (HTTP/2 GOAWAY or REFUSED_STREAM, or closed at once)"
    )]
    NeverProcessed {
        /// On how many connections it was sent.
        connections: usize,
    },
    /// The answer's headers are larger than we read, and its status is not known.
    #[error("the answer's headers are too large (more than {} KiB)", MAX_READ_HEAD / 1024)]
    AnswerHeadersTooLarge,
    /// The receiver went on sending informational answers.
    #[error(
        "the receiver sent more than {MAX_INFORMATIONAL_ANSWERS} informational (1xx) answers and no final one"
    )]
    TooManyInformational,
    /// What the receiver answered is not HTTP.
    #[error("the receiver answered with something that is not HTTP")]
    NotHttp,
    /// The receiver did not follow HTTP/2, or its headers are larger than h2 reads: its error is the
    /// same for both. The status had not come, or could not be read.
    #[error(
        "the answer breaks the rules of HTTP/2, or its headers are larger than {} KiB",
        HTTP2_MAX_HEAD / 1024
    )]
    Http2Violated,
    /// The receiver sent far more by HTTP/2 than its answers can have.
    #[error("the receiver sent HTTP/2 frames without end instead of an answer")]
    Flooded,
    /// No answer arrived in time. The receiver may have got the request.
    #[error("no answer within {after:?}")]
    AnswerTimedOut {
        /// The limit for the whole request.
        after: Duration,
    },
}

/// Kinds of failures, for counting: few, and the same for all receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It took too long.
    Timeout,
    /// There was no connection, no TLS, or no answer in HTTP.
    Connection,
    /// It leads where deliveries may not go.
    Refused(RefusedPart),
}

/// By what it was known that a request leads where deliveries may not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPart {
    /// The address, whether the URL names it or a name resolved to it.
    Address,
    /// The port.
    Port,
    /// The name, without looking it up.
    Name,
}

/// The address that a connection was to lead to, as far as a customer may know it.
///
/// What a name resolves to here may be known in our own networks only. The customer who chose the
/// name could otherwise have us look up one after the other, and map them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriedAddress {
    /// The URL itself names it.
    InUrl(SocketAddr),
    /// The URL's host name resolved to it.
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
    /// Of which kind it is.
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

    /// How far a connection had come that could not be opened.
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

    /// Whether it says nothing against the address: it is the outbound proxy's or our own, or the
    /// receiver is well and wants to be asked in another way.
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

    /// The failure of a connection to a name: it tells of no address.
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
    fn no_address_is_blamed_for_what_is_not_its_fault() {
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
            let told = failure.without_address();
            assert!(!format!("{told} {told:?}").contains("10.1"), "{told:?}");
            assert!(!told.to_string().contains("private"), "{told}");
        }
        assert_eq!(
            SendFailure::ConnectionRefused { address }.without_address().to_string(),
            "the receiver's address refused the connection (nothing listens on that port, or a \
             firewall refuses it)"
        );
        assert!(SendFailure::ResolvedAddressRefused.to_string().contains("--allow-network"));
    }
}

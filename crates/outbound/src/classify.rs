//! Finds our failure in the errors that the libraries report.
//!
//! Libraries wrap each other's errors, so each function walks the chain of sources and judges
//! by types and kinds, never by text.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};

use crate::failure::{CertificateProblem, SendFailure, TlsProblem};

/// The failure behind a TCP connect that did not succeed.
pub(crate) fn tcp_failure(address: SocketAddr, error: &io::Error) -> SendFailure {
    if is_out_of_sockets(error) {
        return SendFailure::OutOfSockets;
    }
    let address = address.into();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SendFailure::ConnectionRefused { address },
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => SendFailure::Unreachable { address },
        io::ErrorKind::TimedOut => SendFailure::ConnectTimedOut { address },
        _ => SendFailure::ConnectFailed { address },
    }
}

/// Whether an error says that there are too many sockets already: EMFILE or ENFILE, which have no
/// `ErrorKind`, and which all Unix systems number alike.
pub(crate) fn is_out_of_sockets(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// The failure behind a TLS handshake that did not succeed.
pub(crate) fn connect_failure(error: &(dyn Error + 'static)) -> SendFailure {
    tls_failure_within(error).unwrap_or(SendFailure::TlsFailed(TlsProblem::Closed))
}

/// What TLS has to say about an error. With TLS 1.3 a receiver's verdict on our side of the
/// handshake, such as a missing client certificate, arrives only after the handshake is over (RFC
/// 8446 section 4.4.2.4).
pub(crate) fn tls_failure_within(error: &(dyn Error + 'static)) -> Option<SendFailure> {
    find::<TlsError>(error).map(tls_failure)
}

fn tls_failure(error: &TlsError) -> SendFailure {
    let problem = match error {
        TlsError::InvalidCertificate(error) => {
            return SendFailure::CertificateRejected(certificate_problem(error));
        }
        TlsError::NoCertificatesPresented => {
            return SendFailure::CertificateRejected(CertificateProblem::Unsuitable);
        }
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => TlsProblem::NotTls,
        TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol => {
            TlsProblem::NothingInCommon
        }
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::NoApplicationProtocol => TlsProblem::NothingInCommon,
            AlertDescription::CertificateRequired => TlsProblem::ClientCertificateRequired,
            AlertDescription::UnrecognisedName => TlsProblem::UnrecognisedName,
            _ => TlsProblem::Refused,
        },
        _ => TlsProblem::Violated,
    };
    SendFailure::TlsFailed(problem)
}

fn certificate_problem(error: &CertificateError) -> CertificateProblem {
    match error {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateProblem::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotValidYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        CertificateError::BadSignature => CertificateProblem::BadSignature,
        CertificateError::Revoked => CertificateProblem::Revoked,
        _ => CertificateProblem::Unsuitable,
    }
}

/// The first error of type `E` in the chain of sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| inner(*error))
        .find_map(|error| error.downcast_ref::<E>())
}

/// The next error in the chain. `io::Error::source` skips the error that it wraps and goes on
/// with that one's source, so the wrapped error has to be asked for.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_below_nested_io_errors() {
        let nested = io::Error::other(io::Error::new(
            io::ErrorKind::InvalidData,
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
        ));
        assert_eq!(
            connect_failure(&nested),
            SendFailure::CertificateRejected(CertificateProblem::UnknownIssuer)
        );
    }

    #[test]
    fn alerts_are_told_apart_as_far_as_they_tell_what_to_do() {
        let cases = [
            (AlertDescription::ProtocolVersion, TlsProblem::NothingInCommon),
            (AlertDescription::HandshakeFailure, TlsProblem::NothingInCommon),
            (AlertDescription::CertificateRequired, TlsProblem::ClientCertificateRequired),
            (AlertDescription::UnrecognisedName, TlsProblem::UnrecognisedName),
            (AlertDescription::InternalError, TlsProblem::Refused),
        ];
        for (alert, problem) in cases {
            let failure = tls_failure(&TlsError::AlertReceived(alert));
            assert_eq!(failure, SendFailure::TlsFailed(problem));
        }
    }

    #[test]
    fn a_failed_tcp_connect_names_the_address() {
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        let tried = address.into();
        let cases = [
            (io::ErrorKind::ConnectionRefused, SendFailure::ConnectionRefused { address: tried }),
            (io::ErrorKind::HostUnreachable, SendFailure::Unreachable { address: tried }),
            (io::ErrorKind::NetworkUnreachable, SendFailure::Unreachable { address: tried }),
            (io::ErrorKind::TimedOut, SendFailure::ConnectTimedOut { address: tried }),
            (io::ErrorKind::PermissionDenied, SendFailure::ConnectFailed { address: tried }),
        ];
        for (kind, failure) in cases {
            assert!(failure.to_string().contains("192.0.2.1:443"));
            assert_eq!(tcp_failure(address, &kind.into()), failure);
        }
        for number in [23, 24] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(tcp_failure(address, &error), SendFailure::OutOfSockets);
        }
    }
}

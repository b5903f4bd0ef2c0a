//! Maps the errors of libraries to failures.
//!
//! Libraries wrap each other's errors, so each function walks the chain of sources and matches
//! types and kinds, never text.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use keeptrusts_webhooks_trust::find_source;
use rustix::io::Errno;
use rustls::Error as TlsError;

use crate::failure::SendFailure;
use crate::tls_failure::tls_failure;
use crate::tls_problem::TlsProblem;

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

/// Whether this process or its machine has too many sockets, or no memory for another. `ErrorKind`
/// has no value for these.
pub(crate) fn is_out_of_sockets(error: &io::Error) -> bool {
    const OURS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let number = error.raw_os_error();
    OURS.iter().any(|ours| number == Some(ours.raw_os_error()))
}

pub(crate) fn connect_failure(error: &(dyn Error + 'static)) -> SendFailure {
    if let Some(failure) = tls_failure_within(error) {
        return failure;
    }
    SendFailure::TlsFailed(match io_kind(error) {
        Some(
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe,
        ) => TlsProblem::Closed,
        _ => TlsProblem::Broken,
    })
}

/// The TLS failure that an error wraps. With TLS 1.3 a receiver's verdict on our side of the
/// handshake, such as a missing client certificate, arrives only after the handshake (RFC 8446
/// section 4.4.2.4).
pub(crate) fn tls_failure_within(error: &(dyn Error + 'static)) -> Option<SendFailure> {
    find_source::<TlsError>(error).map(tls_failure)
}

/// The kind of the innermost I/O error. The kinds of those around it say nothing.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let error = find_source::<io::Error>(error)?;
    let wrapped = error.get_ref().and_then(|wrapped| io_kind(wrapped));
    wrapped.or(Some(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake_failure(error: impl Into<io::Error>) -> SendFailure {
        connect_failure(&error.into())
    }

    #[test]
    fn the_end_of_a_handshake_is_reported_by_its_cause() {
        let closed = SendFailure::TlsFailed(TlsProblem::Closed);
        assert_eq!(handshake_failure(io::ErrorKind::UnexpectedEof), closed);
        assert_eq!(handshake_failure(io::ErrorKind::ConnectionReset), closed);
        let wrapped = io::Error::other(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(handshake_failure(wrapped), closed);
        let broken = SendFailure::TlsFailed(TlsProblem::Broken);
        assert_eq!(handshake_failure(io::ErrorKind::HostUnreachable), broken);
        assert_eq!(
            handshake_failure(io::Error::new(io::ErrorKind::InvalidData, TlsError::DecryptError)),
            SendFailure::TlsFailed(TlsProblem::Violated)
        );
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
        // EMFILE as Unix systems number it.
        assert_eq!(Errno::MFILE.raw_os_error(), 24);
        for number in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let error = io::Error::from(number);
            assert_eq!(tcp_failure(address, &error), SendFailure::OutOfSockets);
        }
    }
}

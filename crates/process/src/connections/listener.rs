//! The address that a server listens on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};

use super::ACCEPT_PAUSE;
use crate::tls::{Reloadable, ServerTlsFlags, TlsFileError};

/// A bound address. Connections wait in the kernel's queue until the server serves.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Reloadable<ServerConfig>>>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error(
        "cannot listen on {address}: another process does; stop it, or choose another address with {flag}"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The flag that it came from.
        flag: &'static str,
    },
    /// The operating system has another objection.
    #[error("cannot listen on {address}; choose another address with {flag}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The flag that it came from.
        flag: &'static str,
        /// The objection.
        source: io::Error,
    },
    /// What is said there could be read and changed on the way.
    #[error(
        "cannot listen on {address} without TLS: other machines can reach it, and nothing would be encrypted; give --tls-cert and --tls-key, or permit it with --insecure if the network is private"
    )]
    NotEncrypted {
        /// The address.
        address: SocketAddr,
    },
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
}

impl Listener {
    /// Binds `address` for gRPC, encrypted as `tls` says. What is not encrypted must be for
    /// this machine only, unless `--insecure` permits it.
    pub async fn bind_secured(
        address: SocketAddr,
        flag: &'static str,
        tls: &ServerTlsFlags,
    ) -> Result<Listener, ListenError> {
        let files = tls.load()?;
        if files.is_none() && !tls.insecure && !address.ip().to_canonical().is_loopback() {
            return Err(ListenError::NotEncrypted { address });
        }
        Ok(Listener { tls: files, ..Listener::bind(address, flag).await? })
    }

    /// Binds `address` without TLS; port 0 means any that is free. `flag` is the one that the address came
    /// from, such as `--listen`, for the error.
    pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<Listener, ListenError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, flag },
            _ => ListenError::Refused { address, flag, source },
        };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Listener { socket, address, tls: None })
    }

    /// The address with its actual port.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What it is encrypted with, for [`reload_on_hangup`](crate::tls::reload_on_hangup). None:
    /// it is not.
    pub fn tls(&self) -> Option<&Arc<Reloadable<ServerConfig>>> {
        self.tls.as_ref()
    }

    /// The next connection, and where it comes from.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            // Small answers must not wait for the acknowledgement of earlier ones.
            let connection = self.socket.accept().await.and_then(|(connection, peer)| {
                connection.set_nodelay(true)?;
                Ok((connection, peer))
            });
            match connection {
                Ok(connection) => return connection,
                Err(error) => {
                    // Trying again at once would only keep a core busy.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

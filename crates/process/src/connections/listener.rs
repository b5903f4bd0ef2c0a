//! A listening socket, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};

use super::ACCEPT_PAUSE;
use crate::tls::{Reloadable, ServerTlsFlags, TlsFileError};

/// A bound socket. Connections wait in the kernel's queue until the server accepts them.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Reloadable<ServerConfig>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "cannot listen on {address}: it is in use, by another server or by a connection from that port; stop what uses it, or choose another address with {flag}"
    )]
    InUse { address: SocketAddr, flag: &'static str },
    #[error("cannot listen on {address}; choose another address with {flag}")]
    Refused { address: SocketAddr, flag: &'static str, source: io::Error },
    #[error(
        "cannot listen on {address} without TLS: other machines can reach it, and nothing would be encrypted; give --tls-cert and --tls-key, or permit it with --insecure if the network is private"
    )]
    NotEncrypted { address: SocketAddr },
    #[error(transparent)]
    Tls(#[from] TlsFileError),
}

impl Listener {
    /// Binds `address` for gRPC, encrypted as `tls` says. Without TLS the address must be a loopback
    /// address, unless `--insecure` permits others.
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

    /// Binds `address` without TLS; port 0 is any free port. Errors name `flag`, which the address
    /// was given with.
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

    /// The TLS configuration, for [`reload_on_hangup`](crate::tls::reload_on_hangup). None: the
    /// listener does not encrypt.
    pub fn tls(&self) -> Option<&Arc<Reloadable<ServerConfig>>> {
        self.tls.as_ref()
    }

    /// The next connection, and the client's address.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            // Otherwise small answers wait until earlier ones are acknowledged.
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

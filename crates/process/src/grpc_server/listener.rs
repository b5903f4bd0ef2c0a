//! The address that a server listens on.

use std::io;
use std::net::SocketAddr;

use futures_util::stream::{Stream, unfold};
use tokio::net::{TcpListener, TcpStream};

use super::limits::ACCEPT_PAUSE;

/// A bound address. Connections wait in the kernel's queue until the server serves.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
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
}

impl Listener {
    /// Binds `address`; port 0 means any that is free. `flag` is the one that the address came
    /// from, such as `--listen`, for the error.
    pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<Listener, ListenError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, flag },
            _ => ListenError::Refused { address, flag, source },
        };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Listener { socket, address })
    }

    /// The address with its actual port.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for a server of another kind.
    pub fn into_socket(self) -> TcpListener {
        self.socket
    }

    /// The connections, for ever. Dropping the stream closes the socket.
    pub(super) fn connections(self) -> impl Stream<Item = io::Result<TcpStream>> {
        unfold(self.socket, |socket| async move { Some((Ok(accepted(&socket).await), socket)) })
    }
}

async fn accepted(socket: &TcpListener) -> TcpStream {
    loop {
        // Small answers must not wait for the acknowledgement of earlier ones.
        let connection = socket.accept().await.and_then(|(connection, _)| {
            connection.set_nodelay(true)?;
            Ok(connection)
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

//! Ports for servers that tests start, and ports that refuse connections.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

/// Below Linux's ephemeral ports (32768 and up), which any outgoing connection may take while a server
/// that needs its port again is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1 that was free just now. This process does not return it again.
///
/// For servers that must restart on the same port; let others listen on port 0.
pub fn free_port() -> u16 {
    static GIVEN_OUT: AtomicU16 = AtomicU16::new(0);
    // Test processes run in parallel, so each starts at another port.
    let start = process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = u32::from(GIVEN_OUT.fetch_add(1, Ordering::Relaxed));
        let offset = start.wrapping_add(step) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("the offset is below COUNT");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

/// A port that is bound but not listened on: it refuses connections while this lives.
#[derive(Debug)]
pub struct ClosedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

/// Binds a port that refuses connections.
pub fn closed_port() -> ClosedPort {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    socket.bind(free).expect("a free port can be bound");
    ClosedPort { address: free, _socket: socket }
}

impl ClosedPort {
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The https URL of a path (beginning with `/`) on this port.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Frees the port for a server that will listen on it.
    pub fn release(self) -> u16 {
        self.port()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_closed_port_refuses_connections_and_stays_bound() {
        let refused = closed_port();
        let error = TcpStream::connect(refused.address).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(TcpListener::bind(refused.address).is_err(), "the port is taken");

        let port = refused.release();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free again");
    }

    #[test]
    fn free_ports_differ() {
        let ports: Vec<u16> = (0..100).map(|_| free_port()).collect();
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), ports.len());
    }
}

//! Accepts connections while the limits permit it.

use std::net::SocketAddr;

use ipnet::IpNet;
use tokio::net::TcpStream;

use super::limiter::{AtLimit, ConnectionLimiter, ConnectionPermit, Limit};
use super::listener::Listener;

/// Closes connections above the limits at once.
#[derive(Debug)]
pub(crate) struct Admission {
    limiter: ConnectionLimiter,
    proxies: Vec<IpNet>,
}

impl Admission {
    /// At most `max` in total. One address may have as many as are left for others, and at most
    /// `max_per_peer`. Addresses in `proxies` stand for many clients, so only `max` limits them.
    pub(crate) fn new(max: Limit, max_per_peer: Limit, proxies: Vec<IpNet>) -> Admission {
        Admission { limiter: ConnectionLimiter::new(max, max_per_peer), proxies }
    }

    /// The next connection within the limits, and the client's address.
    pub(crate) async fn accept(
        &self,
        listener: &Listener,
    ) -> (TcpStream, SocketAddr, ConnectionPermit) {
        loop {
            let (stream, address) = listener.accept().await;
            let is_proxy = is_in(&self.proxies, address);
            match self.limiter.take(address.ip(), is_proxy) {
                Ok(permit) => return (stream, address, permit),
                Err(AtLimit(flag)) => Admission::log_refused(address, flag),
            }
        }
    }

    /// Logs that a connection was closed, and which flag limits it.
    pub(crate) fn log_refused(peer: SocketAddr, limit: &'static str) {
        tracing::warn!(%peer, "turned a connection away, see {limit}");
    }
}

fn is_in(networks: &[IpNet], address: SocketAddr) -> bool {
    let address = address.ip().to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_recognized_by_its_ipv4_mapped_address() {
        let proxies = ["192.0.2.0/24".parse().expect("a network")];
        let address = |text: &str| text.parse().expect("an address");
        assert!(is_in(&proxies, address("[::ffff:192.0.2.7]:1")));
        assert!(!is_in(&proxies, address("198.51.100.7:1")));
    }
}

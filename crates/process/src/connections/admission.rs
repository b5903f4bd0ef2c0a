//! Who is let in.

use std::net::SocketAddr;

use ipnet::IpNet;
use tokio::net::TcpStream;

use super::listener::Listener;
use super::places::{Limit, NoPlace, Place, Places};

/// Lets connections in while there are places, and closes the others at once.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Places,
    proxies: Vec<IpNet>,
}

impl Admission {
    /// `max` in all, and from one address as many as are left for others and at most
    /// `max_per_peer`, unless it is in one of `proxies`: such an address stands for many others.
    pub(crate) fn new(max: Limit, max_per_peer: Limit, proxies: Vec<IpNet>) -> Admission {
        Admission { places: Places::new(max, max_per_peer), proxies }
    }

    /// The next connection that has a place, and where it comes from.
    pub(crate) async fn accept(&self, listener: &Listener) -> (TcpStream, SocketAddr, Place) {
        loop {
            let (stream, address) = listener.accept().await;
            let is_proxy = is_in(&self.proxies, address);
            match self.places.take(address.ip(), is_proxy) {
                Ok(place) => return (stream, address, place),
                Err(NoPlace(flag)) => Admission::turned_away(address, flag),
            }
        }
    }

    /// Says that a connection was closed for want of a place, and which limit that is.
    pub(crate) fn turned_away(peer: SocketAddr, limit: &'static str) {
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
    fn a_proxys_address_may_be_written_as_ipv6() {
        let proxies = ["192.0.2.0/24".parse().expect("a network")];
        let address = |text: &str| text.parse().expect("an address");
        assert!(is_in(&proxies, address("[::ffff:192.0.2.7]:1")));
        assert!(!is_in(&proxies, address("198.51.100.7:1")));
    }
}

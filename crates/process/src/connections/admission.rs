//! Who is let in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::listener::Listener;
use super::places::{Limit, NoPlace, Place, Places};

/// Lets connections in while there are places, and closes the others at once.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Places>,
    proxies: Vec<IpNet>,
    warnings: WarningInterval,
}

impl Admission {
    /// `max` in all, and `max_per_peer` from one address, unless it is in one of `proxies`: such
    /// an address stands for many others.
    pub(crate) fn new(max: Limit, max_per_peer: Limit, proxies: Vec<IpNet>) -> Admission {
        Admission {
            places: Places::new(max, max_per_peer),
            proxies,
            warnings: WarningInterval::default(),
        }
    }

    /// The next connection that has a place, and where it comes from.
    pub(crate) async fn accept(&self, listener: &Listener) -> (TcpStream, SocketAddr, Place) {
        loop {
            let (stream, address) = listener.accept().await;
            let is_proxy = is_in(&self.proxies, address);
            match self.places.take(address.ip(), is_proxy) {
                Ok(place) => return (stream, address, place),
                Err(NoPlace(flag)) => self.turned_away(address, flag),
            }
        }
    }

    /// Says that a connection was closed for want of a place, and which limit that is.
    pub(crate) fn turned_away(&self, peer: SocketAddr, limit: &'static str) {
        tracing::debug!(%peer, "turned a connection away, see {limit}");
        if self.warnings.is_due() {
            tracing::warn!(%peer, "connections are turned away, see {limit}; this is said once in {:?}", WarningInterval::LENGTH);
        }
    }
}

fn is_in(networks: &[IpNet], address: SocketAddr) -> bool {
    let address = address.ip().to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The time between two warnings of one kind that others cause: a line for each would let
/// anybody fill the disk.
#[derive(Debug, Default)]
pub struct WarningInterval {
    last: Mutex<Option<Instant>>,
}

impl WarningInterval {
    /// However often there is reason to warn.
    pub const LENGTH: Duration = Duration::from_secs(60);

    /// Whether it is time to warn. If so, it is not again until the interval is over.
    pub fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|before| before.elapsed() >= WarningInterval::LENGTH);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_due_once_in_its_interval() {
        let warnings = WarningInterval::default();
        assert!(warnings.is_due() && !warnings.is_due());
        tokio::time::advance(WarningInterval::LENGTH).await;
        assert!(warnings.is_due() && !warnings.is_due());
    }

    #[test]
    fn a_proxys_address_may_be_written_as_ipv6() {
        let proxies = ["192.0.2.0/24".parse().expect("a network")];
        let address = |text: &str| text.parse().expect("an address");
        assert!(is_in(&proxies, address("[::ffff:192.0.2.7]:1")));
        assert!(!is_in(&proxies, address("198.51.100.7:1")));
    }
}

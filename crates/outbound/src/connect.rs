//! Opens connections: resolve, ask the guard, TCP, TLS; all of it within the connect timeout.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::classify::connect_failure;
use crate::dial::first_to_connect;
use crate::failure::SendFailure;
use crate::guard::AddressGuard;
use crate::limits::MAX_ADDRESSES_TRIED;
use crate::resolve::Resolver;
use crate::target::{Host, Target};

type Connecting<Stream> = Pin<Box<dyn Future<Output = Result<Stream, SendFailure>> + Send>>;

/// Opens TLS connections to permitted addresses. No proxy is ever used: the guard could not see
/// what a proxy connects to.
#[derive(Clone)]
pub(crate) struct TlsConnector {
    network: Arc<Network>,
    tls: Arc<ClientConfig>,
    server_names: Arc<DefaultServerNameResolver>,
    connect_timeout: Duration,
}

impl TlsConnector {
    pub(crate) fn new(
        resolver: Resolver,
        guard: AddressGuard,
        tls: ClientConfig,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            network: Arc::new(Network { resolver, guard }),
            tls: Arc::new(tls),
            server_names: Arc::default(),
            connect_timeout,
        }
    }
}

impl Service<Uri> for TlsConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = SendFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let deadline = Instant::now() + self.connect_timeout;
        let tcp = TcpConnector { network: Arc::clone(&self.network), deadline };
        let https_only = true;
        let mut https =
            HttpsConnector::new(tcp, Arc::clone(&self.tls), https_only, self.server_names.clone());
        Box::pin(async move {
            match timeout_at(deadline, https.call(url)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => {
                    let error: &(dyn Error + 'static) = &*error;
                    Err(connect_failure(error))
                }
                // What comes before the handshake keeps to the same deadline by itself, and
                // says what it was that took so long.
                Err(_) => Err(SendFailure::TlsTimedOut),
            }
        })
    }
}

/// Opens one TCP connection to a permitted address, by the deadline.
struct TcpConnector {
    network: Arc<Network>,
    deadline: Instant,
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<TcpStream>;
    type Error = SendFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let network = Arc::clone(&self.network);
        let deadline = self.deadline;
        Box::pin(async move {
            let addresses = network.addresses(&url, deadline).await?;
            let stream = first_to_connect(&addresses, deadline, connect_without_delay).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects with Nagle's algorithm off: a request is written in one go, and holding its last
/// segment back until the one before is acknowledged would only add a round trip.
async fn connect_without_delay(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What stands between a URL and the addresses that it may lead to.
struct Network {
    resolver: Resolver,
    guard: AddressGuard,
}

impl Network {
    /// The addresses to try, at least one, all permitted.
    async fn addresses(
        &self,
        url: &Uri,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, SendFailure> {
        let target = Target::of(url)?;
        let found = match target.host {
            Host::Address(address) => vec![address],
            Host::Name(name) => timeout_at(deadline, self.resolver.resolve(name))
                .await
                .map_err(|_| SendFailure::ResolutionTimedOut)??,
        };
        let permitted = permitted(&self.guard, found)?;
        Ok(permitted.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
    }
}

/// The addresses that the guard permits, in order, each once and not more than we try; if it
/// permits none, its first refusal.
fn permitted(guard: &AddressGuard, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, SendFailure> {
    let mut permitted = Vec::new();
    let mut first_refusal = None;
    for address in found {
        match guard.check(address) {
            Ok(()) if permitted.contains(&address) => {}
            Ok(()) => permitted.push(address),
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    permitted.truncate(MAX_ADDRESSES_TRIED);
    match first_refusal {
        Some(refusal) if permitted.is_empty() => Err(refusal.into()),
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn refused_addresses_of_a_name_are_left_out() {
        let found = addresses(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"]);
        assert_eq!(
            permitted(&AddressGuard::default(), found),
            Ok(addresses(&["8.8.8.8", "2606:4700::1"]))
        );
    }

    #[test]
    fn a_name_with_only_refused_addresses_is_refused_for_the_first() {
        let found = addresses(&["10.0.0.1", "127.0.0.1"]);
        let refused = permitted(&AddressGuard::default(), found);
        assert!(matches!(
            refused,
            Err(SendFailure::AddressRefused(refusal)) if refusal.reason == "private address"
        ));
    }

    #[test]
    fn no_more_addresses_are_tried_than_the_limit_and_none_twice() {
        let found = addresses(&["8.8.8.8", "8.8.8.8", "8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4"]);
        assert_eq!(
            permitted(&AddressGuard::default(), found),
            Ok(addresses(&["8.8.8.8", "8.8.8.1", "8.8.8.2", "8.8.8.3"]))
        );
    }
}

//! Opens connections: resolve, ask the guard, TCP (and a proxy's tunnel), TLS; all of it within
//! the connect timeout.

use std::error::Error;
use std::future::Future;
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
use crate::client_certificate::noting;
use crate::failure::SendFailure;
use crate::network::Network;

type Connecting<Stream> = Pin<Box<dyn Future<Output = Result<Stream, SendFailure>> + Send>>;

/// Opens TLS connections to permitted addresses.
#[derive(Clone)]
pub(crate) struct TlsConnector {
    network: Arc<Network>,
    tls: Arc<ClientConfig>,
    server_names: Arc<DefaultServerNameResolver>,
    connect_timeout: Duration,
}

impl TlsConnector {
    pub(crate) fn new(network: Arc<Network>, tls: ClientConfig, connect_timeout: Duration) -> Self {
        Self { network, tls: Arc::new(tls), server_names: Arc::default(), connect_timeout }
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
            let (connected, was_asked) = noting(timeout_at(deadline, https.call(url))).await;
            match connected {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => {
                    let error: &(dyn Error + 'static) = &*error;
                    let failure = connect_failure(error);
                    Err(if was_asked { failure.after_certificate_request() } else { failure })
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
            let stream = network.connect(&url, deadline).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

//! Connects clients of the services, with TLS or without.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use keeptrusts_webhooks_trust::CertificateProblem;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use super::reload::Reloadable;

/// Connects to `https://` with TLS, and to `http://` without.
///
/// Each connection takes the current TLS configuration. tonic's own TLS reads its files only once.
#[derive(Debug, Clone)]
pub struct ServiceConnector {
    tcp: HttpConnector,
    tls: Arc<Reloadable<ClientConfig>>,
}

impl ServiceConnector {
    pub fn new(tls: Arc<Reloadable<ClientConfig>>) -> ServiceConnector {
        let mut tcp = HttpConnector::new();
        // The TLS layer above handles the scheme.
        tcp.enforce_http(false);
        // Otherwise small requests wait until earlier ones are acknowledged.
        tcp.set_nodelay(true);
        ServiceConnector { tcp, tls }
    }

    /// A channel to the service at `address`, which connects on first use. `configure` sets time
    /// limits and the like.
    pub fn channel(self, address: Uri, configure: impl FnOnce(Endpoint) -> Endpoint) -> Channel {
        // tonic refuses custom connectors for `https` addresses if it is built with its own TLS,
        // which the export of traces needs. So the endpoint has a placeholder address, and the
        // requests have the real one as their origin.
        let endpoint = configure(Endpoint::from_static("http://service")).origin(address.clone());
        endpoint.connect_with_connector_lazy(FixedAddress { connector: self, address })
    }
}

/// Connects to one address, whatever address is asked for.
struct FixedAddress {
    connector: ServiceConnector,
    address: Uri,
}

impl Service<Uri> for FixedAddress {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Uri>::poll_ready(&mut self.connector.tcp, context).map_err(Into::into)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let ServiceConnector { tcp, tls } = &self.connector;
        let mut https = HttpsConnector::from((tcp.clone(), tls.current()));
        let connecting = https.call(self.address.clone());
        Box::pin(async move {
            connecting.await.map_err(|error| match CertificateProblem::find_in(&*error) {
                Some(problem) => NotTrusted(problem).into(),
                None => error,
            })
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the service's certificate was rejected: {}", .0.with_advice("--services-ca"))]
struct NotTrusted(CertificateProblem);

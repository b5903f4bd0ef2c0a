//! The connections of a process that asks services.

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
/// tonic's own TLS would do as much, but reads its files once; hyper-rustls is in the tree
/// already, and each connection takes the configuration that is current then.
#[derive(Debug, Clone)]
pub struct ServiceConnector {
    tcp: HttpConnector,
    tls: Arc<Reloadable<ClientConfig>>,
}

impl ServiceConnector {
    /// A connector that speaks TLS as `tls` says.
    pub fn new(tls: Arc<Reloadable<ClientConfig>>) -> ServiceConnector {
        let mut tcp = HttpConnector::new();
        // Whether it is http or https is for the layer above to know.
        tcp.enforce_http(false);
        // Small requests must not wait for the acknowledgement of earlier ones.
        tcp.set_nodelay(true);
        ServiceConnector { tcp, tls }
    }

    /// A channel to the service at `address`, connected when it is first needed; `settle` says
    /// what else there is to it, such as time limits.
    pub fn channel(self, address: Uri, settle: impl FnOnce(Endpoint) -> Endpoint) -> Channel {
        // Where tonic is built with its own TLS, as it is for whoever sends traces, it refuses to
        // let anybody else connect to `https`. So the endpoint's own address is nobody's, and in
        // clear; requests say where they really go to.
        let endpoint = settle(Endpoint::from_static("http://service")).origin(address.clone());
        endpoint.connect_with_connector_lazy(To { connector: self, address })
    }
}

/// Connections to one address, whichever is asked for.
struct To {
    connector: ServiceConnector,
    address: Uri,
}

impl Service<Uri> for To {
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

/// The certificate of a service was refused.
#[derive(Debug, thiserror::Error)]
#[error("the service's certificate was rejected: {}", .0.with_advice("--services-ca"))]
struct NotTrusted(CertificateProblem);

//! A gRPC server with what every process's clients expect of it: health, reflection, limits,
//! deadlines, and an orderly end.

mod ending;
mod gate;
mod guard;
mod health;
pub mod limits;
mod listener;
mod reflection;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tower_service::Service;

pub use gate::Gate;
pub use health::Health;
pub use listener::{ListenError, Listener};

use guard::Guard;

/// The services of a process, ready to be served.
pub struct GrpcServer {
    routes: RoutesBuilder,
    health: Health,
    service_names: Vec<&'static str>,
    grace_period: Duration,
    gate: Arc<dyn Gate>,
    reflection: bool,
}

/// The server stopped for a reason other than having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that reflection serves cannot be read: the build is broken.
    #[error("cannot read the descriptors for reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

impl GrpcServer {
    /// A server without services of its own yet, behind a gate.
    pub fn new(gate: Arc<dyn Gate>) -> Self {
        GrpcServer {
            routes: RoutesBuilder::default(),
            health: Health::new(),
            service_names: Vec::new(),
            grace_period: limits::GRACE_PERIOD,
            gate,
            reflection: true,
        }
    }

    /// One more service. It counts as healthy until [`Health::set`] says otherwise.
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.service_names.push(S::NAME);
        self
    }

    /// How long requests in flight may take to finish after the shutdown has begun.
    pub fn grace_period(mut self, grace_period: Duration) -> Self {
        self.grace_period = grace_period;
        self
    }

    /// Whether everybody may ask what can be called (gRPC reflection). They may, by default.
    pub fn reflection(mut self, reflection: bool) -> Self {
        self.reflection = reflection;
        self
    }

    /// The handle by which a process says how its services are.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `shutdown` is cancelled, and then to an orderly end: health says
    /// NOT_SERVING, no connection is accepted, open ones take no new request, streams end, and
    /// requests in flight have the grace period to finish; those that do not are answered
    /// UNAVAILABLE.
    pub async fn serve(
        mut self,
        listener: Listener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        self.health.register(&self.service_names).await;
        self.routes.add_service(self.health.service());
        if self.reflection {
            reflection::add_to(&mut self.routes, &self.service_names)?;
        }

        let grace_over = CancellationToken::new();
        let streams_end = CancellationToken::new();
        let guard =
            Guard::new(self.routes.routes(), self.gate, streams_end.clone(), grace_over.clone());
        let address = listener.local_address();
        tracing::info!(%address, services = ?self.service_names, "listening");

        let health = self.health.clone();
        let begun = shutdown.clone();
        let begin_shutdown = async move {
            begun.cancelled().await;
            health.shut_down().await;
            // After that, so that watchers of the health hear of it before their streams end.
            streams_end.cancel();
        };
        let served = configured_server().serve_with_incoming_shutdown(
            guard,
            listener.connections(),
            begin_shutdown,
        );
        let grace_period = self.grace_period;
        let out_of_patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(grace_period).await;
            tracing::warn!(?grace_period, "requests are still in flight; answering them now");
            grace_over.cancel();
            // For the answers to reach their callers.
            tokio::time::sleep(limits::LAST_ANSWERS).await;
        };
        tokio::select! {
            served = served => served?,
            () = out_of_patience => tracing::warn!("connections are still open; leaving them"),
        }
        Ok(())
    }
}

fn configured_server() -> Server {
    Server::builder()
        .max_concurrent_streams(limits::MAX_STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(limits::MAX_HEADER_LIST_BYTES)
}

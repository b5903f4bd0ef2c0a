//! The gRPC server of every process: health, reflection, limits, deadlines, TLS, graceful shutdown.

mod acceptor;
mod backpressure_body;
mod call_telemetry;
mod compressed_body;
mod compression;
mod connection;
mod decode_errors;
mod frames;
mod gate;
mod guard;
mod in_process;
pub mod limits;
mod message_size;
mod methods;
mod peer;
mod receive;
mod reflection;
mod request_body;
mod request_pools;
mod request_stream;
mod service_health;
mod shutting_down;
mod streaming_answer;
mod unary_answer;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use clap::Args;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tower_service::Service;

pub use gate::Gate;
pub use in_process::InProcess;
pub use limits::LimitFlags;
pub use peer::Peer;
pub use request_stream::{MessageMemory, ReceivedMessages};
pub use service_health::ServiceHealth;

use acceptor::Acceptor;
use connection::Connection;
use guard::Guard;
use limits::{CONNECTION_WINDOW, STREAM_WINDOW};

pub use crate::connections::{ListenError, Listener};

use crate::readiness::Readiness;
use crate::tls::ServerTlsFlags;

/// The flags of a process that serves gRPC, without the address (see
/// [`ListenFlag`](crate::program::ListenFlag)).
#[derive(Debug, Clone, Default, Args)]
pub struct GrpcFlags {
    #[command(flatten)]
    pub tls: ServerTlsFlags,

    #[command(flatten)]
    pub limits: LimitFlags,
}

/// A generated service.
pub trait GrpcService
where
    Self: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
    Self: NamedService + Clone + Send + Sync + 'static,
{
}

impl<S> GrpcService for S
where
    S: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
    S: NamedService + Clone + Send + Sync + 'static,
{
}

pub struct GrpcServer {
    routes: RoutesBuilder,
    health: ServiceHealth,
    readiness: Option<Readiness>,
    service_names: Vec<&'static str>,
    grace_period: Duration,
    gate: Arc<dyn Gate>,
    reflection: bool,
    limits: LimitFlags,
    incoming: mpsc::Sender<Connection>,
    connections: mpsc::Receiver<Connection>,
}

/// Why the server stopped before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The build is broken.
    #[error("cannot read the descriptors for reflection")]
    Reflection(#[from] prost::DecodeError),
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

impl GrpcServer {
    /// A server that has no services yet, behind a gate.
    pub fn new(gate: Arc<dyn Gate>) -> Self {
        let (incoming, connections) = mpsc::channel(limits::WAITING_CONNECTIONS);
        GrpcServer {
            routes: RoutesBuilder::default(),
            health: ServiceHealth::new(),
            readiness: None,
            service_names: Vec::new(),
            grace_period: limits::GRACE_PERIOD,
            gate,
            reflection: true,
            limits: LimitFlags::default(),
            incoming,
            connections,
        }
    }

    /// Adds a service. It counts as healthy until [`ServiceHealth::set`] says otherwise.
    pub fn service<S: GrpcService>(mut self, service: S) -> Self {
        self.routes.add_service(service);
        self.service_names.push(S::NAME);
        self
    }

    /// How long requests in flight may take after the shutdown has begun.
    pub fn grace_period(mut self, grace_period: Duration) -> Self {
        self.grace_period = grace_period;
        self
    }

    /// Whether the server answers gRPC reflection, which needs no key. It does by default.
    pub fn reflection(mut self, reflection: bool) -> Self {
        self.reflection = reflection;
        self
    }

    /// While the process is not ready, health says NOT_SERVING.
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    pub fn limits(mut self, limits: LimitFlags) -> Self {
        self.limits = limits;
        self
    }

    /// Connects to the server from within the process.
    pub fn in_process(&self) -> InProcess {
        InProcess::new(self.incoming.clone())
    }

    pub fn health(&self) -> ServiceHealth {
        self.health.clone()
    }

    /// Serves until `shutdown` is cancelled. Then health says NOT_SERVING, the server accepts no
    /// connections, open connections take no new requests, and streams end. Requests in flight have
    /// the grace period to finish; the others are answered UNAVAILABLE.
    pub async fn serve(
        mut self,
        listener: Listener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        self.health.register(&self.service_names).await;
        self.routes.add_service(self.health.service(self.readiness));
        if self.reflection {
            reflection::add_to(&mut self.routes, &self.service_names)?;
        }

        let grace_over = CancellationToken::new();
        let streams_end = CancellationToken::new();
        let routes = self.routes.routes();
        let guard =
            Guard::new(routes, self.gate, &self.limits, streams_end.clone(), grace_over.clone());
        let address = listener.local_address();
        let tls = listener.tls().is_some();
        tracing::info!(%address, tls, services = ?self.service_names, "listening");
        let stop_accepting = shutdown.child_token();
        let _stop_accepting_on_drop = stop_accepting.clone().drop_guard();
        let limits = self.limits.clone();
        let acceptor = Acceptor::new(listener, limits, self.incoming, stop_accepting);
        tokio::spawn(acceptor.run());

        let health = self.health.clone();
        let begun = shutdown.clone();
        let begin_shutdown = async move {
            begun.cancelled().await;
            health.shut_down().await;
            // In this order, so that watchers of health hear of the shutdown before their streams
            // end.
            streams_end.cancel();
        };
        let mut connections = self.connections;
        // Never ends: when tonic's listener ends, it closes open connections and does not begin the
        // shutdown.
        let connections = poll_fn(move |context| match ready!(connections.poll_recv(context)) {
            Some(connection) => Poll::Ready(Some(Ok::<_, Infallible>(connection))),
            None => Poll::Pending,
        });
        let served = configured_server(&self.limits).serve_with_incoming_shutdown(
            guard,
            connections,
            begin_shutdown,
        );
        let grace_period = self.grace_period;
        let grace_ends = async {
            shutdown.cancelled().await;
            tokio::time::sleep(grace_period).await;
            tracing::warn!(?grace_period, "requests are still in flight; answering them now");
            grace_over.cancel();
            // Time for the answers to reach their callers.
            tokio::time::sleep(limits::LAST_ANSWERS).await;
        };
        tokio::select! {
            served = served => served?,
            () = grace_ends => tracing::warn!("connections are still open; leaving them"),
        }
        Ok(())
    }
}

fn configured_server(limits: &LimitFlags) -> Server {
    let server = Server::builder()
        .max_concurrent_streams(limits.max_streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(limits.max_header_bytes)
        .http2_max_pending_accept_reset_streams(Some(limits.max_early_resets as usize))
        .http2_max_local_error_reset_streams(Some(limits.max_stream_errors as usize));
    match limits.max_connection_age {
        Some(age) => server.max_connection_age(age),
        None => server,
    }
}

//! A gRPC server with what every process's clients expect of it: health, reflection, limits,
//! deadlines, TLS, and an orderly end.

mod accepting;
mod answer_body;
mod compression;
mod connection;
mod ending;
mod frames;
mod gate;
mod guard;
mod health;
mod in_process;
pub mod limits;
mod message_size;
mod methods;
mod paced_body;
mod peer;
mod receiving;
mod reflection;
mod request_body;
mod sharing;
mod single_answer;
mod telling;
mod undecodable;

use std::convert::Infallible;
use std::sync::Arc;
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
pub use health::Health;
pub use in_process::InProcess;
pub use limits::LimitFlags;
pub use peer::Peer;

use accepting::Accepting;
use connection::Connection;
use guard::Guard;

pub use crate::connections::{ListenError, Listener};

use crate::readiness::Readiness;
use crate::tls::ServerTlsFlags;

/// The flags of a process that serves gRPC, but for where; flatten them into its own.
#[derive(Debug, Clone, Default, Args)]
pub struct GrpcFlags {
    /// How it is encrypted.
    #[command(flatten)]
    pub tls: ServerTlsFlags,

    /// What it puts up with.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// A generated service, with which a server answers.
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

/// The services of a process, ready to be served.
pub struct GrpcServer {
    routes: RoutesBuilder,
    health: Health,
    readiness: Option<Readiness>,
    service_names: Vec<&'static str>,
    grace_period: Duration,
    gate: Arc<dyn Gate>,
    reflection: bool,
    limits: LimitFlags,
    incoming: mpsc::Sender<Connection>,
    connections: mpsc::Receiver<Connection>,
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
        let (incoming, connections) = mpsc::channel(limits::WAITING_CONNECTIONS);
        GrpcServer {
            routes: RoutesBuilder::default(),
            health: Health::new(),
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

    /// One more service. It counts as healthy until [`Health::set`] says otherwise.
    pub fn service<S: GrpcService>(mut self, service: S) -> Self {
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

    /// What its services need: while that is not there, health says NOT_SERVING.
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    /// What it puts up with, in place of the defaults.
    pub fn limits(mut self, limits: LimitFlags) -> Self {
        self.limits = limits;
        self
    }

    /// A way to connect to it from within the process.
    pub fn in_process(&self) -> InProcess {
        InProcess::new(self.incoming.clone())
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
        let accepting_ends = shutdown.child_token();
        let _accepting_ends_with_us = accepting_ends.clone().drop_guard();
        let limits = self.limits.clone();
        let accepting = Accepting::new(listener, limits, self.incoming, accepting_ends);
        tokio::spawn(accepting.run());

        let health = self.health.clone();
        let begun = shutdown.clone();
        let begin_shutdown = async move {
            begun.cancelled().await;
            health.shut_down().await;
            // After that, so that watchers of the health hear of it before their streams end.
            streams_end.cancel();
        };
        let mut connections = self.connections;
        let connections = poll_fn(move |context| {
            connections.poll_recv(context).map(|next| next.map(Ok::<_, Infallible>))
        });
        let served = configured_server(&self.limits).serve_with_incoming_shutdown(
            guard,
            connections,
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

fn configured_server(limits: &LimitFlags) -> Server {
    let server = Server::builder()
        .max_concurrent_streams(limits.max_streams_per_connection)
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

//! An HTTP/1 server for the console and for monitoring, with limits against slow clients. Clients
//! that send no request, half a head or half a body, or do not read the answer, are disconnected in
//! time, and have no more connections than their share.
//!
//! Decision: docs/decisions/connections-are-accepted-by-our-own-loop.md

mod timed_body;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

pub use timed_body::{BodyTimeout, TimedBody, TimedBodyError};

use crate::connections::{Admission, Limit, Listener, WriteTimeout};
use crate::grpc_server::Peer;

/// How long a connection may wait for its next request, including the request's head. Longer than
/// proxies keep idle connections (mostly a minute), so that they do not send a request into a
/// connection that the server is closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may read nothing of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's head. A larger one is answered 431.
const MAX_HEAD_BYTES: usize = 32 * 1024;

#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// All connections; further ones are closed at once. An address has at most as many as are
    /// left for others.
    pub max_connections: Limit,
    /// Connections from one address, or from one IPv6 network of 64 bits.
    pub max_connections_per_peer: Limit,
    /// Networks of proxies. Only `max_connections` limits their connections.
    pub proxies: Vec<IpNet>,
    /// From connecting to the end of the first request's head.
    pub header_timeout: Duration,
    /// From the end of a request's head to the end of its body.
    pub body_timeout: Duration,
}

/// Serves until `shutdown` is cancelled. Then the server accepts no connections, closes idle ones,
/// and calls `grace_period` for the time that requests in flight have left.
///
/// Requests have the [`Peer`] among their extensions. The service must always be ready.
pub async fn serve<S, B>(
    listener: Listener,
    limits: HttpLimits,
    service: S,
    shutdown: CancellationToken,
    grace_period: impl FnOnce() -> Duration,
) where
    S: Service<Request<TimedBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let HttpLimits { max_connections, max_connections_per_peer, proxies, .. } = limits.clone();
    let admission = Admission::new(max_connections, max_connections_per_peer, proxies);
    // Connections end with this future, also when it is dropped.
    let end = CancellationToken::new();
    let _connections_end = end.clone().drop_guard();
    let connections = TaskTracker::new();
    while let Some((stream, address, permit)) =
        shutdown.run_until_cancelled(admission.accept(&listener)).await
    {
        let served =
            serve_connection(stream, address, limits.clone(), service.clone(), shutdown.clone());
        let end = end.clone();
        connections.spawn(async move {
            _ = end.run_until_cancelled(served).await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if timeout(grace_period(), connections.wait()).await.is_err() {
        tracing::debug!("connections of HTTP are still open; closing them");
    }
}

async fn serve_connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: HttpLimits,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<TimedBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let begun = CancellationToken::new();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(WriteTimeout::new(stream, STALL_TIMEOUT)),
            service_fn({
                let begun = begun.clone();
                move |request: Request<Incoming>| {
                    begun.cancel();
                    let timeout = BodyTimeout(limits.body_timeout);
                    let mut request = request.map(|body| TimedBody::new(body, timeout));
                    let peer = Peer { address: Some(peer), certificate: None };
                    request.extensions_mut().insert(peer);
                    // Services here are always ready.
                    service.clone().call(request)
                }
            }),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = no_request_within(limits.header_timeout, begun) => {
            tracing::debug!(%peer, "closed a connection without a request");
            return;
        }
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients may disconnect at any time: nothing to repair here.
    if let Err(error) = ended {
        tracing::debug!(%peer, error = &error as &dyn Error, "a connection of HTTP ended");
    }
}

/// Resolves after `limit` unless a request has begun.
async fn no_request_within(limit: Duration, begun: CancellationToken) {
    if timeout(limit, begun.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

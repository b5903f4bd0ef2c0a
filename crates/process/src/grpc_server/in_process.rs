//! Connections to the gRPC server from within the process: HTTP/2 without a socket, TLS or limits on
//! connections.
//!
//! Decision: docs/decisions/the-embedded-console-has-no-socket.md

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tower_service::Service;

use super::connection::Connection;
use super::limits::IN_PROCESS_BUFFER;

/// Connects to a [`GrpcServer`](super::GrpcServer) of this process; for tonic's
/// `Endpoint::connect_with_connector_lazy`, with an endpoint of any address.
#[derive(Debug, Clone)]
pub struct InProcess {
    server: mpsc::Sender<Connection>,
}

impl InProcess {
    pub(super) fn new(server: mpsc::Sender<Connection>) -> InProcess {
        InProcess { server }
    }
}

impl Service<Uri> for InProcess {
    type Response = TokioIo<DuplexStream>;
    /// The server has ended.
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<DuplexStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let server = self.server.clone();
        Box::pin(async move {
            let (ours, theirs) = duplex(IN_PROCESS_BUFFER);
            let sent = server.send(Connection::in_process(theirs)).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(TokioIo::new(ours))
        })
    }
}

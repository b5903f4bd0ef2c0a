//! The HTTPS receiver, with HTTP/1.1 and 2. It answers 200 and records arrivals. It verifies no
//! signature, because its work is not measured.

mod certificate;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::arrivals::Arrivals;
use crate::error::LoadError;

pub(crate) struct Receiver {
    address: SocketAddr,
    ca_file: NamedTempFile,
    arrivals: Arc<Arrivals>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Receiver, LoadError> {
        let (tls, ca_pem) = certificate::make()?;
        let ca_file = NamedTempFile::new()?;
        std::fs::write(&ca_file, ca_pem)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Arrivals::new());
        let accepting =
            tokio::spawn(accept(listener, TlsAcceptor::from(tls), Arc::clone(&arrivals)));
        Ok(Receiver { address, ca_file, arrivals, accepting })
    }

    pub(crate) fn ca_file(&self) -> &Path {
        self.ca_file.path()
    }

    pub(crate) fn url(&self, endpoint: u16) -> String {
        format!("https://{}/{endpoint}", self.address)
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, arrivals: Arc<Arrivals>) {
    loop {
        // Accepting fails if the client has gone already.
        let Ok((connection, _)) = listener.accept().await else { continue };
        tokio::spawn(converse(connection, tls.clone(), Arc::clone(&arrivals)));
    }
}

async fn converse(connection: TcpStream, tls: TlsAcceptor, arrivals: Arc<Arrivals>) {
    // Answers are small: they must not wait for more data.
    _ = connection.set_nodelay(true);
    let Ok(stream) = tls.accept(connection).await else { return };
    let answer = service_fn(move |request| answer(request, Arc::clone(&arrivals)));
    // An error means that the client has gone, which does not matter.
    _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    request: Request<Incoming>,
    arrivals: Arc<Arrivals>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut response = Response::new(Empty::new());
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return Ok(response);
        }
    }
    let event_id = head.headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let endpoint = head.uri.path().strip_prefix('/').and_then(|path| path.parse().ok());
    match (event_id, endpoint) {
        (Some(event_id), Some(endpoint)) => arrivals.enter(event_id.to_owned(), endpoint),
        _ => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

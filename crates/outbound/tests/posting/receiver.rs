//! Receivers on loopback, from well-behaved HTTP servers down to bare sockets.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::server::TlsStream;

use crate::certificates::Identity;

/// A listening server; it ends when this is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// The protocols that a receiver offers by ALPN.
pub(crate) const HTTP1: &[&str] = &["http/1.1"];
pub(crate) const HTTP2: &[&str] = &["h2", "http/1.1"];

impl Receiver {
    /// Calls `serve` with each TCP connection.
    pub(crate) async fn tcp<Serve, Serving>(serve: Serve) -> Self
    where
        Serve: Fn(TcpStream) -> Serving + Send + 'static,
        Serving: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections, task }
    }

    /// Calls `serve` with each TLS connection, after the handshake.
    pub(crate) async fn tls<Serve, Serving>(identity: Identity, alpn: &[&str], serve: Serve) -> Self
    where
        Serve: Fn(TlsStream<TcpStream>) -> Serving + Clone + Send + Sync + 'static,
        Serving: Future<Output = ()> + Send + 'static,
    {
        let acceptor = acceptor(identity, alpn);
        Self::tcp(move |stream| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            }
        })
        .await
    }

    /// Calls `answer` with each HTTP request.
    pub(crate) async fn http<Answer, Answering, AnswerBody>(
        identity: Identity,
        alpn: &[&str],
        answer: Answer,
    ) -> Self
    where
        Answer: Fn(Request<Incoming>) -> Answering + Clone + Send + Sync + 'static,
        Answering: Future<Output = Response<AnswerBody>> + Send + 'static,
        AnswerBody: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        Self::tls(identity, alpn, move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                // Fails when the sender hangs up, which some tests make it do.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> Uri {
        self.url_for("127.0.0.1")
    }

    pub(crate) fn url_for(&self, host: &str) -> Uri {
        let port = self.address.port();
        format!("https://{host}:{port}/hook?x=1").parse().unwrap()
    }

    /// How many TCP connections have been accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn acceptor(identity: Identity, alpn: &[&str]) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// An answer with an empty body.
pub(crate) fn empty(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// Reads one HTTP/1.1 request with the two-byte body that the tests send. Returns whether there was one.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    reader.read_exact(&mut [0; 2]).await.is_ok()
}

//! The receiver's connections.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, interval, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::request::Arrival;
use super::{ReceivedRequest, Reply, Script};

/// State of the receiver's thread and the test.
pub(super) struct Shared {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<Arc<ReceivedRequest>>>,
    connections: AtomicU64,
    failed_handshakes: AtomicU64,
    changes: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script: Mutex::new(Arc::new(script)),
            requests: Mutex::default(),
            connections: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            changes: watch::Sender::new(()),
        }
    }

    pub(super) fn set_script(&self, script: Script) {
        *lock(&self.script) = Arc::new(script);
    }

    pub(super) fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        lock(&self.requests).clone()
    }

    pub(super) fn requests_if(
        &self,
        satisfied: impl Fn(&[Arc<ReceivedRequest>]) -> bool,
    ) -> Option<Vec<Arc<ReceivedRequest>>> {
        let requests = lock(&self.requests);
        satisfied(&requests).then(|| requests.clone())
    }

    pub(super) fn request_count(&self) -> usize {
        lock(&self.requests).len()
    }

    pub(super) fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn failed_handshake_count(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Changes with every request, connection and failed handshake.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn accepted(&self) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.changes.send_replace(());
        number
    }

    fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        self.changes.send_replace(());
    }

    /// Keeps the request and chooses the reply.
    fn received(&self, request: ReceivedRequest) -> Reply {
        let request = Arc::new(request);
        let script = Arc::clone(&lock(&self.script));
        lock(&self.requests).push(Arc::clone(&request));
        self.changes.send_replace(());
        script.reply_to(&request)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until the other end of `stopped` is dropped; every connection ends with it.
pub(super) fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, tls, shared) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, tls: Arc<ServerConfig>, shared: Arc<Shared>) {
    listener.set_nonblocking(true).expect("a listener can be made non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is fit");
    let acceptor = TlsAcceptor::from(tls);
    loop {
        // Accepting fails if the client has gone already.
        let Ok((connection, _)) = listener.accept().await else {
            continue;
        };
        let number = shared.accepted();
        tokio::spawn(converse(connection, number, acceptor.clone(), Arc::clone(&shared)));
    }
}

async fn converse(connection: TcpStream, number: u64, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Answers are small: they must not wait for more data.
    let _ = connection.set_nodelay(true);
    let Ok(connection) = acceptor.accept(connection).await else {
        shared.handshake_failed();
        return;
    };
    let service = service_fn(move |request| answer(request, number, Arc::clone(&shared)));
    // An error means that the client has gone, or that the reply closes the connection.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    shared: Arc<Shared>,
) -> Result<Response<Either<Full<Bytes>, Drip>>, io::Error> {
    let arrival = Arrival::now(connection);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut reply = shared.received(ReceivedRequest::new(&head, body, arrival));
    loop {
        match reply {
            Reply::Late { after, reply: later } => {
                sleep(after).await;
                reply = *later;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Close => return Err(io::Error::other("closed by the script")),
            Reply::Drip { every } => {
                return Ok(Response::new(Either::Right(Drip(interval(every)))));
            }
            Reply::Answer { status, headers, body } => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                return Ok(response
                    .body(Either::Left(Full::new(body)))
                    .expect("the script's status and headers are valid"));
            }
        }
    }
}

/// A body that never ends.
struct Drip(Interval);

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b".")))))
    }
}

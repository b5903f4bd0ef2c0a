//! The HTTP server with slow, silent and greedy clients.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use keeptrusts_webhooks_process::connections::{Limit, Listener};
use keeptrusts_webhooks_process::grpc_server::Peer;
use keeptrusts_webhooks_process::http_server::{HttpLimits, TimedBody, TimedBodyError, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A limit that no test reaches.
const LONG: Duration = Duration::from_secs(600);
/// A limit that tests reach.
const SHORT: Duration = Duration::from_millis(200);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHost: x\r\n";
const HALF_A_BODY: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";

/// More bytes than the buffers between two sockets hold.
const LARGE_BYTES: usize = 32 * 1024 * 1024;

/// Answers with the number of bytes that it got, and the peer. The answer of `/large` is large.
#[derive(Clone)]
struct Counting;

impl Service<Request<TimedBody>> for Counting {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<TimedBody>) -> Self::Future {
        Box::pin(async move {
            let peer = Peer::of(request.extensions()).map(ToString::to_string);
            if request.uri().path() == "/large" {
                return Ok(Response::new("x".repeat(LARGE_BYTES)));
            }
            let (code, text) = match request.into_body().collect().await {
                Ok(body) => {
                    let size = body.to_bytes().len();
                    (StatusCode::OK, format!("{size} bytes of {}", peer.unwrap_or_default()))
                }
                Err(TimedBodyError::TooSlow) => (StatusCode::REQUEST_TIMEOUT, String::new()),
                Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            };
            let mut response = Response::new(text);
            *response.status_mut() = code;
            Ok(response)
        })
    }
}

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut HttpLimits)) -> Server {
        let limit = |number| Limit { number, flag: "--max" };
        let mut limits = HttpLimits {
            max_connections: limit(100),
            max_connections_per_peer: limit(100),
            proxies: Vec::new(),
            header_timeout: LONG,
            body_timeout: LONG,
        };
        change(&mut limits);
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(address, "--listen").await.expect("a free port");
        let address = listener.local_address();
        let shutdown = CancellationToken::new();
        let served = serve(listener, limits, Counting, shutdown.clone(), || LONG);
        Server { address, shutdown, served: tokio::spawn(served) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// A connection that has sent these bytes.
    async fn sent(&self, text: &str) -> TcpStream {
        let mut connection = self.connect().await;
        connection.write_all(text.as_bytes()).await.expect("it is sent");
        connection
    }

    async fn assert_answers(&self) {
        let mut connection = self.sent(GET).await;
        let head = read_some(&mut connection).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

/// The next bytes; empty at the end.
async fn read_some(connection: &mut TcpStream) -> Result<String, Box<dyn Error>> {
    let mut bytes = vec![0; 4_096];
    let count = timeout(PATIENCE, connection.read(&mut bytes)).await??;
    bytes.truncate(count);
    Ok(String::from_utf8(bytes)?)
}

/// A closed connection may also be reset.
async fn assert_is_closed(connection: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
    _ = read.expect("it is closed");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_head_is_disconnected_in_time() {
    let server = Server::start(|limits| limits.header_timeout = SHORT).await;
    let (mut silent, mut half) = (server.connect().await, server.sent(HALF_A_HEAD).await);
    assert_is_closed(&mut silent).await;
    assert_is_closed(&mut half).await;
    server.assert_answers().await;
}

/// Time is paused: it passes when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_longer_than_proxies_keep_theirs_but_not_for_ever() {
    let server = Server::start(|_| {}).await;
    for more in ["", HALF_A_HEAD] {
        let mut idle = server.sent(GET).await;
        assert!(read_some(&mut idle).await.expect("an answer").starts_with("HTTP/1.1 200"));
        idle.write_all(more.as_bytes()).await.expect("it is sent");
        let since = Instant::now();
        _ = idle.read_to_end(&mut Vec::new()).await;
        let kept_for = since.elapsed();
        let allowed = Duration::from_secs(61)..Duration::from_secs(120);
        assert!(allowed.contains(&kept_for), "{kept_for:?} with {more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_the_answer_is_disconnected_in_time() {
    let server = Server::start(|_| {}).await;
    let mut deaf = server.sent("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut rest = Vec::new();
    _ = deaf.read_to_end(&mut rest).await;
    assert!(rest.len() < LARGE_BYTES, "all of it was sent after two minutes");
    let mut reader = server.sent("GET /large HTTP/1.0\r\nHost: x\r\n\r\n").await;
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.expect("all of it");
    assert!(all.len() > LARGE_BYTES, "{}", all.len());
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(|_| {}).await;
    let long = "x".repeat(40 * 1024);
    let mut talker = server.sent(&format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}")).await;
    let head = read_some(&mut talker).await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 431"), "{head}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408() {
    let server = Server::start(|limits| limits.body_timeout = SHORT).await;
    let mut half = server.sent(HALF_A_BODY).await;
    let head = read_some(&mut half).await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_is_closed(&mut half).await;
}

#[tokio::test]
async fn a_body_may_take_longer_than_a_connection_may_be_idle() {
    let server = Server::start(|limits| limits.header_timeout = SHORT).await;
    let mut slow = server.sent(HALF_A_BODY).await;
    let mut other = server.connect().await;
    // By now the time limit of the head has passed as well.
    assert_is_closed(&mut other).await;
    slow.write_all(b"67890").await.expect("it is still taken");
    let answer = read_some(&mut slow).await.expect("an answer");
    let address = slow.local_addr().expect("an address");
    assert!(answer.ends_with(&format!("10 bytes of {address}")), "{answer}");
}

#[tokio::test]
async fn unfinished_requests_keep_no_other_client_out() {
    let server = Server::start(|limits| limits.max_connections_per_peer.number = 5).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.sent(HALF_A_HEAD).await);
    }
    for _ in 0..20 {
        let mut refused = server.connect().await;
        assert_is_closed(&mut refused).await;
    }
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("it is loopback's");
    let mut other = socket.connect(server.address).await.expect("it listens");
    other.write_all(GET.as_bytes()).await.expect("it is sent");
    assert!(read_some(&mut other).await.expect("an answer").starts_with("HTTP/1.1 200"));

    held.clear();
    // The server releases its permits when it notices.
    let answered = async {
        loop {
            let mut again = server.sent(GET).await;
            if read_some(&mut again).await.is_ok_and(|head| head.starts_with("HTTP/1.1 200")) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, answered).await.expect("there are places again");
}

#[tokio::test]
async fn only_the_total_limit_counts_for_a_proxy() {
    let server = Server::start(|limits| {
        limits.max_connections_per_peer.number = 1;
        limits.max_connections.number = 3;
        limits.proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let server = server.await;
    let _held = [server.sent(HALF_A_HEAD).await, server.sent(HALF_A_HEAD).await];
    let mut third = server.sent(GET).await;
    assert!(read_some(&mut third).await.expect("an answer").starts_with("HTTP/1.1 200"));
    assert_is_closed(&mut server.connect().await).await;
}

#[tokio::test]
async fn at_shutdown_a_request_in_flight_may_finish_and_idle_connections_are_closed() {
    let server = Server::start(|_| {}).await;
    let mut idle = server.sent(GET).await;
    assert!(read_some(&mut idle).await.expect("an answer").starts_with("HTTP/1.1 200"));
    let mut under_way = server
        .sent("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert!(read_some(&mut under_way).await.expect("it goes on").starts_with("HTTP/1.1 100"));
    server.shutdown.cancel();
    assert_is_closed(&mut idle).await;
    under_way.write_all(b"x").await.expect("it is taken");
    let answer = read_some(&mut under_way).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    timeout(PATIENCE, server.served).await.expect("it ends").expect("in order");
}

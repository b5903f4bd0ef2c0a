//! Makes requests, on connections that are kept for the next ones.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use keeptrusts_webhooks_trust::Trust;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, Exchange, kept_headers, read_body};
use crate::classify::request_failure;
use crate::config::{OutboundConfig, SetupError};
use crate::connect::TlsConnector;
use crate::failure::SendFailure;
use crate::guard::AddressGuard;
use crate::limits::{
    HTTP2_CONNECTION_WINDOW, HTTP2_STREAM_WINDOW, MAX_READ_HEAD, POOL_IDLE_TIMEOUT,
    POOL_MAX_IDLE_PER_HOST,
};
use crate::network::Network;
use crate::ports::PortGuard;
use crate::resolve::Resolver;
use crate::tls;

/// Posts to https URLs. Clones share one pool of connections.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client<TlsConnector, Full<Bytes>>,
    network: Arc<Network>,
    request_timeout: Duration,
}

impl Sender {
    /// A sender with the system's root certificates, hosts file and (unless it is given others)
    /// DNS servers, all read now and not again.
    pub fn new(config: OutboundConfig) -> Result<Self, SetupError> {
        let trust = tls::trust(Trust::in_system(), &config.trusted_roots_pem)?;
        let network = Arc::new(Network {
            resolver: Resolver::from_system(&config.name_servers)?,
            addresses: AddressGuard::new(config.allowed_networks),
            ports: PortGuard::new(config.allowed_ports),
            proxy: config.proxy,
        });
        let tls = tls::client_config(trust)?;
        let connector = TlsConnector::new(Arc::clone(&network), tls, config.connect_timeout);
        // Requests that met a pooled connection just being closed are sent again by the client,
        // but only if nothing of them was written (its default).
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_READ_HEAD)
            .http2_max_header_list_size(MAX_READ_HEAD as u32)
            .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .build(connector);
        let request_timeout = config.request_timeout;
        Ok(Self { shared: Arc::new(Shared { client, network, request_timeout }) })
    }

    /// Posts `body` with `headers` to `url` and waits for the answer, for at most the request
    /// timeout. `Host` and `Content-Length` are added.
    ///
    /// Must be called within a tokio runtime. If the future is dropped the request is abandoned,
    /// and the receiver may or may not have got it.
    pub async fn post(&self, url: &Uri, headers: HeaderMap, body: Bytes) -> Exchange {
        let started = Instant::now();
        let deadline = started + self.shared.request_timeout;
        let result = self.answer_by(deadline, url, headers, body).await;
        Exchange { duration: started.elapsed(), result, remarks: Vec::new() }
    }

    async fn answer_by(
        &self,
        deadline: Instant,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, SendFailure> {
        // Before the pool is asked. A connection in the pool was judged when it was opened, and
        // leads where it led then.
        self.shared.network.target(url)?;
        let after = self.shared.request_timeout;

        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        let connection = capture_connection(&mut request);

        let answering = self.shared.client.request(request);
        let response = match timeout_at(deadline, answering).await {
            Ok(answered) => answered.map_err(|error| request_failure(&error))?,
            Err(_) => {
                use_no_more(&connection);
                return Err(SendFailure::AnswerTimedOut { after });
            }
        };

        let (head, mut body) = response.into_parts();
        let status = head.status;
        let kept_body = match timeout_at(deadline, read_body(&mut body)).await {
            Ok(read) => read.map_err(|_| SendFailure::BodyBrokeOff { status })?,
            Err(_) => return Err(SendFailure::BodyTimedOut { status, after }),
        };
        Ok(Answer {
            status,
            headers: kept_headers(head.headers),
            body: kept_body.bytes,
            body_truncated: kept_body.truncated,
        })
    }
}

/// Takes a connection out of the pool. Requests on an HTTP/2 connection whose peer has vanished
/// would all time out until TCP gives up on it, many minutes later; after the first such
/// timeout the next request opens a new one. Requests in flight on it are left alone.
fn use_no_more(connection: &CaptureConnection) {
    if let Some(connected) = &*connection.connection_metadata() {
        connected.poison();
    }
}

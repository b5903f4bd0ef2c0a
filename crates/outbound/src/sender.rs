//! Sends requests on pooled connections, and decides whether one is sent again.
//!
//! Decision: docs/decisions/unprocessed-requests-are-sent-again.md

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use keeptrusts_webhooks_trust::TrustStore;
use moka::sync::Cache;
use rustix::process::{Resource, getrlimit};
use tokio::time::sleep;

use crate::config::OutboundConfig;
use crate::connect::{Connection, Connector, HttpVersions, NewConnection};
use crate::failure::SendFailure;
use crate::guard::AddressGuard;
use crate::limits::{
    GROUP_SHARE_OF_CONNECTIONS, HTTP1_MEMORY, HTTP1_ROUTES_REMEMBERED, MAX_IDLE_TIME,
    MAX_SENT_AGAIN, SOCKET_RETRY_PAUSE,
};
use crate::network::Network;
use crate::pool::{
    Checkout, ConnectionChoice, ConnectionGroup, InUse, Pool, PoolLimits, Release, Route,
};
use crate::ports::PortGuard;
use crate::remark::Remark;
use crate::request::PostRequest;
use crate::request_timer::RequestTimer;
use crate::resolve::Resolver;
use crate::response::{HttpExchange, HttpResponse};
use crate::send_outcome::SendOutcome;
use crate::setup_error::SetupError;
use crate::tls;

/// Posts to https URLs. Clones share their connections.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

struct Shared {
    network: Arc<Network>,
    connector: Connector,
    pool: Pool<Connection>,
    /// Routes whose receivers offer HTTP/2 and then required HTTP/1.1.
    want_http1: Cache<Route, ()>,
    /// Whether the last connection could not be opened for lack of a socket.
    is_out_of_sockets: AtomicBool,
    request_timeout: Duration,
}

impl Sender {
    /// Reads the system's root certificates, hosts file and (unless the configuration has others)
    /// DNS servers once, here.
    pub fn new(config: OutboundConfig) -> Result<Self, SetupError> {
        let trust = tls::trust(TrustStore::from_system(), &config.trusted_roots_pem)?;
        let network = Arc::new(Network {
            resolver: Resolver::from_system(&config.name_servers)?,
            addresses: AddressGuard::new(config.allowed_networks),
            ports: PortGuard::new(config.allowed_ports),
            proxy: config.proxy,
        });
        let tls = tls::client_config(trust)?;
        let connector = Connector::new(Arc::clone(&network), tls, config.connect_timeout);
        let connections = config.max_connections.min(max_open_files() / 2).max(1);
        let pool = Pool::new(PoolLimits {
            connections,
            per_group: (connections / GROUP_SHARE_OF_CONNECTIONS).max(1),
            idle_time: MAX_IDLE_TIME,
        });
        let want_http1 =
            Cache::builder().max_capacity(HTTP1_ROUTES_REMEMBERED).time_to_live(HTTP1_MEMORY);
        Ok(Self {
            shared: Arc::new(Shared {
                network,
                connector,
                pool,
                want_http1: want_http1.build(),
                is_out_of_sockets: AtomicBool::new(false),
                request_timeout: config.request_timeout,
            }),
        })
    }

    /// Posts `body` with `headers` to `url` on a connection of `group`, and waits for the answer for
    /// at most the request timeout. Adds `Host` and `Content-Length`.
    ///
    /// Before that time starts, the request may wait for a connection that this process may open. How
    /// long depends on the requests in flight, each of which has its own time limit.
    ///
    /// Must be called within a tokio runtime. Dropping the future abandons the request; the receiver
    /// may or may not have got it.
    pub async fn post(
        &self,
        group: ConnectionGroup,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> HttpExchange {
        let mut request = ActiveRequest {
            shared: &self.shared,
            url,
            timer: RequestTimer::start(self.shared.request_timeout),
            was_sent: false,
            versions: HttpVersions::All,
            remarks: Vec::new(),
        };
        let result = request.post(group, headers, body).await;
        let ActiveRequest { timer, was_sent, remarks, .. } = request;
        HttpExchange { duration: timer.elapsed(), result, was_sent, remarks }
    }
}

/// How many files this process may have open. Each connection is one.
fn max_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}

/// A request until it has a result.
struct ActiveRequest<'a> {
    shared: &'a Shared,
    url: &'a Uri,
    timer: RequestTimer,
    /// Whether the receiver may have got it, or a part of it, on any connection.
    was_sent: bool,
    /// The versions that are offered from now on. `want_http1` may forget the route.
    versions: HttpVersions,
    remarks: Vec<Remark>,
}

impl ActiveRequest<'_> {
    async fn post(
        &mut self,
        group: ConnectionGroup,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, SendFailure> {
        // Checked before the pool is asked. The address of a pooled connection was checked when it
        // was opened.
        self.shared.network.target(self.url)?;
        let post = PostRequest::new(self.url, headers, body)?;
        let route = Route { group, authority: post.authority().clone() };

        let mut choice = ConnectionChoice::Any;
        let mut sent_again = None;
        for _ in 0..=MAX_SENT_AGAIN {
            let used = match self.connection(&route, choice).await {
                Ok(used) => used,
                Err(failure) => {
                    let repeated = sent_again == Some(Remark::SentAgainMaybeProcessed);
                    self.remark_once(repeated.then_some(Remark::MaybeProcessed));
                    return Err(failure);
                }
            };
            let Some(connection) = used.connection() else { continue };
            self.remark_once(sent_again.take());
            let was_used = used.was_used();
            let outcome = connection.exchange(&post, self.timer.deadline(), was_used).await;
            self.was_sent |= !matches!(outcome, SendOutcome::NotSent);
            match outcome {
                SendOutcome::Answered(answered) => {
                    used.end(match answered.is_reusable {
                        true => Release::Reusable { idle_time: answered.idle_time },
                        false => Release::Unusable,
                    });
                    self.remark_once(answered.remark);
                    return Ok(answered.answer);
                }
                SendOutcome::NotSent => used.end(Release::Unusable),
                SendOutcome::NotProcessed => {
                    used.end(Release::NotProcessed);
                    sent_again = Some(Remark::SentAgainNotProcessed);
                }
                SendOutcome::Http1Wanted => {
                    used.end(Release::Unusable);
                    self.note_http1_wanted(&route);
                    sent_again = Some(Remark::SentAgainByHttp1);
                    choice = ConnectionChoice::New;
                }
                // Only once: a second failure, on a new connection, is the result.
                SendOutcome::ReusedConnectionClosed(_) if choice == ConnectionChoice::Any => {
                    used.end(Release::Unusable);
                    sent_again = Some(Remark::SentAgainMaybeProcessed);
                    choice = ConnectionChoice::New;
                }
                SendOutcome::ReusedConnectionClosed(failure) | SendOutcome::Failed(failure) => {
                    used.end(Release::Unusable);
                    return Err(failure);
                }
                SendOutcome::TimedOut => {
                    used.end(Release::Unusable);
                    let after = self.shared.request_timeout;
                    return Err(SendFailure::AnswerTimedOut { after });
                }
            }
        }
        Err(SendFailure::NeverProcessed { connections: MAX_SENT_AGAIN + 1 })
    }

    fn remark_once(&mut self, remark: Option<Remark>) {
        let remark = remark.filter(|remark| !self.remarks.contains(remark));
        self.remarks.extend(remark);
    }

    /// A pooled or new connection of the route.
    async fn connection(
        &mut self,
        route: &Route,
        choice: ConnectionChoice,
    ) -> Result<InUse<Connection>, SendFailure> {
        loop {
            let checkout = self.shared.pool.check_out(route, choice);
            let mut slot = match self.timer.paused_during(checkout).await {
                Checkout::Use(used) => return Ok(used),
                Checkout::Open(slot) => slot,
            };
            if self.shared.want_http1.contains_key(route) {
                self.versions = HttpVersions::Http1;
            }
            let deadline = self.timer.deadline();
            let opened = self.shared.connector.open(self.url, self.versions, deadline).await;
            self.shared.note_whether_out_of_sockets(opened.as_ref().err());
            match opened {
                Ok(NewConnection { connection, driver, remark }) => {
                    self.remark_once(remark);
                    let used = slot.opened(connection);
                    tokio::spawn(async move {
                        driver.run().await;
                        drop(slot);
                    });
                    return Ok(used);
                }
                // Other requests may soon close theirs.
                Err(SendFailure::OutOfSockets) => {
                    drop(slot);
                    self.timer.paused_during(sleep(SOCKET_RETRY_PAUSE)).await;
                }
                Err(SendFailure::Http1Wanted) if self.versions == HttpVersions::All => {
                    self.note_http1_wanted(route);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The receiver requires HTTP/1.1, for this request and later ones.
    fn note_http1_wanted(&mut self, route: &Route) {
        self.versions = HttpVersions::Http1;
        self.shared.want_http1.insert(route.clone(), ());
    }
}

impl Shared {
    /// Logs once when sockets begin to run out.
    fn note_whether_out_of_sockets(&self, failure: Option<&SendFailure>) {
        let is_out = match failure {
            None => false,
            Some(SendFailure::OutOfSockets) => true,
            // Does not tell whether there are sockets.
            Some(_) => return,
        };
        let was_out = self.is_out_of_sockets.swap(is_out, Ordering::Relaxed);
        if is_out && !was_out {
            tracing::warn!("{}: deliveries wait", SendFailure::OutOfSockets);
        }
    }
}

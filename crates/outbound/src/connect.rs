//! Opens connections: everything before a request is written, at one address of the receiver after
//! the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::addresses::{AddressRotations, NameAndPort};
use crate::classify::connect_failure;
use crate::client_certificate::detect_certificate_request;
use crate::dial::first_to_connect;
use crate::driver::Driver;
use crate::failure::SendFailure;
use crate::http1::{self, Http1};
use crate::http2::{self, Http2};
use crate::monitored_stream::StreamMonitor;
use crate::network::Network;
use crate::pool::Pooled;
use crate::remark::Remark;
use crate::request::PostRequest;
use crate::send_outcome::SendOutcome;
use crate::target::Host;
use crate::tls::{self, TlsStream};

#[derive(Clone)]
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

impl Connection {
    pub(crate) async fn exchange(
        &self,
        post: &PostRequest,
        deadline: Instant,
        was_used: bool,
    ) -> SendOutcome {
        let (outcome, monitor) = match self {
            Connection::Http1(connection) => {
                (connection.exchange(post, deadline, was_used).await, connection.monitor())
            }
            Connection::Http2(connection) => {
                (connection.exchange(post, deadline, was_used).await, connection.monitor())
            }
        };
        match monitor.certificate_was_requested() {
            true => outcome.after_certificate_request(),
            false => outcome,
        }
    }
}

impl Pooled for Connection {
    fn capacity(&self) -> usize {
        match self {
            Connection::Http1(_) => 1,
            Connection::Http2(connection) => connection.capacity(),
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self, Connection::Http2(_))
    }

    fn is_open(&self) -> bool {
        match self {
            Connection::Http1(connection) => connection.is_open(),
            Connection::Http2(connection) => connection.is_open(),
        }
    }
}

pub(crate) struct NewConnection {
    pub(crate) connection: Connection,
    pub(crate) driver: Driver,
    /// Set if other addresses failed before.
    pub(crate) remark: Option<Remark>,
}

/// The versions of HTTP that a receiver is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersions {
    All,
    Http1,
}

/// Opens TLS connections to permitted addresses.
pub(crate) struct Connector {
    network: Arc<Network>,
    tls: TlsConnector,
    tls_for_http1: TlsConnector,
    addresses: AddressRotations,
    connect_timeout: Duration,
}

impl Connector {
    pub(crate) fn new(network: Arc<Network>, tls: ClientConfig, connect_timeout: Duration) -> Self {
        let tls_for_http1 = TlsConnector::from(Arc::new(tls::for_http1(&tls)));
        let tls = TlsConnector::from(Arc::new(tls));
        Self {
            network,
            tls,
            tls_for_http1,
            addresses: AddressRotations::default(),
            connect_timeout,
        }
    }

    /// Opens one connection to where the URL leads, by the deadline and within the connect
    /// timeout. If its host is a name, the addresses are only logged, and not reported to the
    /// caller.
    pub(crate) async fn open(
        &self,
        url: &Uri,
        versions: HttpVersions,
        deadline: Instant,
    ) -> Result<NewConnection, SendFailure> {
        let deadline = deadline.min(Instant::now() + self.connect_timeout);
        let failure = match self.open_first(url, versions, deadline).await {
            Ok(opened) => return Ok(opened),
            Err(failure) => failure,
        };
        match self.network.target(url)?.host {
            Host::Address(_) => Err(failure),
            Host::Name(name) => {
                match failure {
                    SendFailure::AddressRefused(_) => tracing::info!(name, %failure, "not sent"),
                    _ => tracing::debug!(name, %failure, "not sent"),
                }
                Err(failure.without_address())
            }
        }
    }

    async fn open_first(
        &self,
        url: &Uri,
        versions: HttpVersions,
        deadline: Instant,
    ) -> Result<NewConnection, SendFailure> {
        let addresses = self.network.addresses(url, deadline).await?;
        let of = addresses.len();
        let target = self.network.target(url)?;
        let server_name = server_name(target.host)?;
        let known = match target.host {
            Host::Address(_) => None,
            Host::Name(name) => Some(self.addresses.of(NameAndPort::new(name, target.port))),
        };
        let ordered = match &known {
            Some(known) => known.next_order(addresses, Instant::now()),
            None => addresses,
        };
        let passed_over = AtomicUsize::new(0);
        let (connection, driver) =
            first_to_connect(&ordered, deadline, async |address, deadline| {
                let opened = self.open_at(address, server_name.clone(), versions, deadline).await;
                let is_its_fault =
                    opened.as_ref().is_err_and(|failure| !failure.is_not_of_address());
                passed_over.fetch_add(usize::from(is_its_fault), Ordering::Relaxed);
                if let Some(known) = &known {
                    known.tried(address, is_its_fault, Instant::now());
                }
                opened
            })
            .await?;
        let passed_over = passed_over.into_inner();
        let remark = Remark::AddressesPassedOver { passed_over, of };
        Ok(NewConnection { connection, driver, remark: (passed_over > 0).then_some(remark) })
    }

    async fn open_at(
        &self,
        address: SocketAddr,
        server_name: ServerName<'static>,
        versions: HttpVersions,
        deadline: Instant,
    ) -> Result<(Connection, Driver), SendFailure> {
        let stream = self.network.connect(address, deadline).await?;
        let tls = match versions {
            HttpVersions::All => &self.tls,
            HttpVersions::Http1 => &self.tls_for_http1,
        };
        let (shaken, certificate_was_requested) =
            detect_certificate_request(timeout_at(deadline, tls.connect(server_name, stream)))
                .await;
        let opened = match shaken {
            Ok(Ok(stream)) => {
                begin(stream, StreamMonitor::new(certificate_was_requested), deadline).await
            }
            Ok(Err(error)) => Err(connect_failure(&error)),
            Err(_) => Err(SendFailure::TlsTimedOut),
        };
        opened.map_err(|failure| match certificate_was_requested {
            true => failure.after_certificate_request(),
            false => failure,
        })
    }
}

/// Starts the version of HTTP that the receiver has chosen by ALPN (RFC 7301), or HTTP/1.1 if it
/// does not support ALPN.
async fn begin(
    stream: TlsStream,
    monitor: Arc<StreamMonitor>,
    deadline: Instant,
) -> Result<(Connection, Driver), SendFailure> {
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => {
            let beginning = http2::begin(stream, Arc::clone(&monitor));
            match timeout_at(deadline, beginning).await {
                Ok(begun) => begun.map(|(http2, driver)| (Connection::Http2(http2), driver)),
                Err(_) => Err(http2::not_begun_in_time(&monitor)),
            }
        }
        _ => {
            let (http1, driver) = http1::begin(stream, monitor).await?;
            Ok((Connection::Http1(http1), driver))
        }
    }
}

/// The name that the receiver's certificate has to be valid for.
fn server_name(host: Host<'_>) -> Result<ServerName<'static>, SendFailure> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress(address.into())),
        Host::Name(name) => ServerName::try_from(name.to_owned())
            .map_err(|_| SendFailure::UnusableUrl { reason: "its host is not a valid name" }),
    }
}

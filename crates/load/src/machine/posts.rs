//! Bare requests: signed as those of deliveries, over one connection with HTTP/2, as the platform sends
//! them. Nothing is decided and nothing is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::signing::{keeptrusts_signature, standard_signature};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Durations, Pace, Stopwatch};
use crate::error::LoadError;
use crate::receiver::Receiver;

/// Requests in flight: the default of `--endpoint-concurrency`.
const IN_FLIGHT: usize = 16;

pub(super) struct Target {
    uri: Uri,
    authority: CertificateDer<'static>,
    body: Bytes,
}

impl Target {
    pub(super) fn new(receiver: &Receiver, body: &str) -> Result<Target, LoadError> {
        Ok(Target {
            uri: receiver.url(0).parse()?,
            authority: CertificateDer::from_pem_file(receiver.ca_file())?,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }
}

/// On the calling thread, with a runtime of its own.
pub(super) fn measure(target: &Target, time: Duration) -> Result<Pace, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let requests = Requests { sender: connect(target).await?, target, secret: secret() };
        let latency = requests.median_latency(time).await?;
        let measured = Stopwatch::start();
        let mut answered = 0;
        let mut in_flight = FuturesUnordered::new();
        for number in 0.. {
            if measured.time() >= time {
                break;
            }
            in_flight.push(requests.send(number));
            if in_flight.len() == IN_FLIGHT {
                answered += in_flight.next().await.transpose()?.map_or(0, |()| 1);
            }
        }
        while let Some(done) = in_flight.next().await {
            done?;
            answered += 1;
        }
        Ok(measured.pace(answered, latency))
    })
}

struct Requests<'a> {
    sender: SendRequest<Full<Bytes>>,
    target: &'a Target,
    secret: Secret,
}

impl Requests<'_> {
    async fn send(&self, number: usize) -> Result<(), LoadError> {
        let (id, body) = (format!("evt_{number}"), &self.target.body);
        let request = Request::post(self.target.uri.clone())
            .header("content-type", "application/json")
            .header("x-keeptrusts-signature", keeptrusts_signature(&self.secret, body))
            .header("webhook-signature", standard_signature(&self.secret, &id, 0, body))
            .header("webhook-timestamp", "0")
            .header("webhook-id", id)
            .body(Full::new(body.clone()))?;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(format!("the receiver answered {}", response.status()).into());
        }
        response.into_body().collect().await?;
        Ok(())
    }

    /// Of requests one after the other.
    async fn median_latency(&self, time: Duration) -> Result<Duration, LoadError> {
        let measured = Stopwatch::start();
        let mut durations = Durations::default();
        while measured.time() < time {
            let began = Instant::now();
            self.send(0).await?;
            durations.note(began.elapsed());
        }
        Ok(durations.median())
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, LoadError> {
    let (host, port) = (target.uri.host().unwrap_or_default(), target.uri.port_u16());
    let connection = TcpStream::connect((host, port.unwrap_or(443))).await?;
    connection.set_nodelay(true)?;
    let mut roots = RootCertStore::empty();
    roots.add(target.authority.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, connection).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

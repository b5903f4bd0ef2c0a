//! A receiver such as a customer would write. It terminates TLS, and verifies both signatures with
//! code of its own, sharing none with the platform. It fails a given number of times.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use keeptrusts_webhooks_process::exit::Failure;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running receiver. Ends with the process.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    /// The authority that issued its certificate, as PEM.
    pub(super) authority: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    secret: Mutex<String>,
    requests: Mutex<RequestState>,
}

#[derive(Default)]
struct RequestState {
    /// How many requests are still to fail, by event type.
    failures: HashMap<String, u32>,
    /// The `webhook-id`s that were answered with success.
    accepted: HashSet<String>,
    report: ReceiverReport,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReceiverReport {
    pub(super) requests: usize,
    pub(super) verified: usize,
    pub(super) rejected: usize,
    pub(super) failed_on_purpose: usize,
    pub(super) accepted: usize,
    pub(super) duplicates: usize,
}

impl Receiver {
    /// Starts on a free loopback port. Fails as often as `failures` says for each event type, then
    /// accepts.
    pub(super) async fn start(failures: &[(&str, u32)]) -> Result<Receiver, Failure> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        state.requests().failures =
            failures.iter().map(|(event, count)| ((*event).to_owned(), *count)).collect();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state)));
        Ok(Receiver { address, authority: authority_certificate.pem(), state })
    }

    /// The secret that signatures must be made with.
    pub(super) fn expect_secret(&self, secret: &str) {
        let mut expected = self.state.secret.lock().unwrap_or_else(PoisonError::into_inner);
        secret.clone_into(&mut expected);
    }

    pub(super) fn report(&self) -> ReceiverReport {
        self.state.requests().report
    }
}

impl State {
    fn requests(&self) -> std::sync::MutexGuard<'_, RequestState> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    while let Ok((connection, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(connection).await else { return };
            let service = service_fn(move |request| handle(request, Arc::clone(&state)));
            let server = Builder::new(TokioExecutor::new());
            _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const MAX_BODY: usize = 1024 * 1024;
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes());
    let (status, text) = match body {
        Ok(body) => state.respond(&head.headers, &body),
        Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

impl State {
    fn respond(&self, headers: &HeaderMap, body: &[u8]) -> (StatusCode, &'static str) {
        let secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let verified = verify(&secret, headers, body).is_some();
        let mut requests = self.requests();
        requests.report.requests += 1;
        if !verified {
            requests.report.rejected += 1;
            return (StatusCode::UNAUTHORIZED, "a signature is wrong");
        }
        requests.report.verified += 1;
        let event = text(headers, "x-keeptrusts-event").unwrap_or_default().to_owned();
        if let Some(left) = requests.failures.get_mut(&event).filter(|left| **left > 0) {
            *left -= 1;
            requests.report.failed_on_purpose += 1;
            return (StatusCode::SERVICE_UNAVAILABLE, "down for maintenance, for the demo's sake");
        }
        let id = text(headers, "webhook-id").unwrap_or_default().to_owned();
        match requests.accepted.insert(id) {
            true => requests.report.accepted += 1,
            false => requests.report.duplicates += 1,
        }
        (StatusCode::OK, "thank you")
    }
}

/// Verifies both schemes; Some if both are right. One uses the secret as it is shown, the other the
/// base64 after `whsec_`. `verify_slice` compares in constant time.
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> Option<()> {
    let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).ok();
    let hex_tag = text(headers, "x-keeptrusts-signature")?.strip_prefix("sha256=")?;
    keyed(secret.as_bytes())?.chain_update(body).verify_slice(&hex::decode(hex_tag).ok()?).ok()?;

    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let id = text(headers, "webhook-id")?;
    let timestamp = text(headers, "webhook-timestamp")?;
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    text(headers, "webhook-signature")?.split(' ').find_map(|signature| {
        let tag = STANDARD.decode(signature.strip_prefix("v1,")?).ok()?;
        keyed(&key)?.chain_update(&signed).verify_slice(&tag).ok()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

//! HTTPS requests to an issuer. Operators choose the issuer, so its address is not restricted as
//! receivers' addresses are. Plain HTTP is permitted on the loopback address only.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use keeptrusts_webhooks_trust::{CertificateProblem, TrustStore, UnusableCertificates};

use crate::limits::{ISSUER_TIMEOUT, MAX_ISSUER_ANSWER_BYTES};

const CA_FLAG: &str = "--oidc-ca";

/// Sends requests with limits on time and size, and without following redirects.
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is neither https nor a loopback address.
    #[error("{0} is not an https address")]
    NotHttps(Uri),
    #[error("no answer within {ISSUER_TIMEOUT:?}")]
    TimedOut,
    #[error("the issuer's certificate was rejected: {}", .0.with_advice(CA_FLAG))]
    NotTrusted(CertificateProblem),
    #[error("the request failed")]
    Failed(#[source] legacy::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("the answer could not be read, or is longer than {MAX_ISSUER_ANSWER_BYTES} bytes")]
    Unreadable,
}

/// Why the certificates to trust cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the --oidc-ca file {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the --oidc-ca file {} {reason}", path.display())]
    Unusable { path: PathBuf, reason: UnusableCertificates },
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl Fetcher {
    /// Trusts the system's authorities, and the certificates in the file `ca` (`--oidc-ca`).
    pub fn new(ca: Option<&PathBuf>) -> Result<Fetcher, TrustError> {
        let mut trust = TrustStore::from_system();
        if let Some(path) = ca {
            let unreadable = |source| TrustError::Unreadable { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(unreadable)?;
            let unusable = |reason| TrustError::Unusable { path: path.clone(), reason };
            trust.add_pem(CA_FLAG, &pem).map_err(unusable)?;
        }
        let tls = trust.client_config()?.with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Fetcher { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// The body of the answer to a GET. Any status but 200 is an error.
    pub(crate) async fn fetch(&self, url: &Uri) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            other => Err(FetchError::Status(other)),
        }
    }

    /// The answer to a request, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        if !is_acceptable(request.uri()) {
            return Err(FetchError::NotHttps(request.uri().clone()));
        }
        let answered = async {
            let answer = self.client.request(request.map(Full::new)).await;
            let (head, body) = answer.map_err(failed)?.into_parts();
            let body = Limited::new(body, MAX_ISSUER_ANSWER_BYTES).collect().await;
            let body = body.map_err(|_| FetchError::Unreadable)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(ISSUER_TIMEOUT, answered).await.map_err(|_| FetchError::TimedOut)?
    }
}

fn failed(error: legacy::Error) -> FetchError {
    match CertificateProblem::find_in(&error) {
        Some(problem) => FetchError::NotTrusted(problem),
        None => FetchError::Failed(error),
    }
}

/// Whether an address is https, or http on the loopback address.
pub fn is_acceptable(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback || host == "localhost",
        _ => false,
    }
}

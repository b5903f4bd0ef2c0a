//! An OpenID Connect issuer without a login: discovery, keys that it rotates, and tokens that it
//! has signed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
pub(crate) use keeptrusts_webhooks_testkit::issuer::{SigningKey, in_seconds, signing_input};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The audience of the platform under test.
pub(crate) const AUDIENCE: &str = "keeptrusts-webhooks";

/// An issuer on a loopback address.
pub(crate) struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let keys = Arc::new(Mutex::new(Vec::new()));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&keys), Arc::clone(&fetches));
        tokio::spawn(async move {
            loop {
                let Ok((connection, _)) = listener.accept().await else { return };
                let (served, counted) = (Arc::clone(&served), Arc::clone(&counted));
                let answer = service_fn(move |request: hyper::Request<_>| {
                    let _: &hyper::body::Incoming = request.body();
                    let keys = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let document = match request.uri().path() {
                        "/.well-known/openid-configuration" => json!({
                            "issuer": format!("http://{address}"),
                            "jwks_uri": format!("http://{address}/keys"),
                        }),
                        _ => {
                            counted.fetch_add(1, Ordering::SeqCst);
                            json!({ "keys": keys })
                        }
                    };
                    let body = Full::new(hyper::body::Bytes::from(document.to_string()));
                    async { Ok::<_, Infallible>(hyper::Response::new(body)) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(connection), answer));
            }
        });
        Issuer { address, keys, fetches }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces its published keys.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys = keys.iter().map(|key| key.jwk()).collect();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// How often its keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The claims of a valid token.
    pub(crate) fn claims(&self, organization: &str, role: &str) -> Value {
        json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "user-7", "email": "ann@acme.example",
            "organization": organization, "role": role,
            "exp": in_seconds(300), "iat": in_seconds(0),
        })
    }
}

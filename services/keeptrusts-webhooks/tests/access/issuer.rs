//! An OpenID Connect issuer: discovery, keys that it rotates, and tokens that it signs. And what
//! a forger would sign.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The audience of the platform under test.
pub(crate) const AUDIENCE: &str = "keeptrusts-webhooks";

/// A key that signs tokens.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub(crate) fn new(kid: &str) -> SigningKey {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        SigningKey { kid: kid.to_owned(), pair: pair.expect("the key is one") }
    }

    /// RFC 7517 appendix A.1.
    pub(crate) fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// The public key's bytes, for those who would take them for an HMAC's secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// A token with this header and these claims.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = signing_input(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// An ordinary token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}), claims)
    }
}

/// The part of a token that is signed.
pub(crate) fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Seconds since 1970, so many from now.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("a time") + seconds
}

/// An issuer on the loopback.
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

    /// From now on its keys are these.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys = keys.iter().map(|key| key.jwk()).collect();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// How often its keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The claims of a token that is in order.
    pub(crate) fn claims(&self, organization: &str, role: &str) -> Value {
        json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "user-7", "email": "ann@acme.example",
            "organization": organization, "role": role,
            "exp": in_seconds(300), "iat": in_seconds(0),
        })
    }
}

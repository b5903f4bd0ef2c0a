//! An OpenID Connect issuer on this machine, over TLS, with a page on which people log in.
//!
//! It is as strict as a good issuer. It redirects browsers only to the registered URI. A code is
//! good once, for the client that it was issued to, with the verifier that fits its challenge
//! (RFC 7636). Its answers are wrong only where a test asks for that.

mod login;
mod message;
mod signing_key;
mod state;
mod token_endpoint;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use self::message::json_reply;
pub use self::signing_key::{SigningKey, in_seconds, signing_input};
use self::state::State;
pub use self::state::{CLIENT_ID, CLIENT_SECRET};
use crate::receiver::{Authority, ReceivedRequest, Receiver, Reply, Script};

/// A running issuer; it ends when it is dropped.
pub struct Issuer {
    receiver: Receiver,
    state: Arc<Mutex<State>>,
}

impl Issuer {
    /// Starts one with a confidential client, and with an account of this organization and role.
    pub fn start(organization: &str, role: &str) -> Self {
        Self::with(Authority::new(), organization, role)
    }

    /// Starts the same with a certificate of this authority.
    pub fn with(authority: Authority, organization: &str, role: &str) -> Self {
        let key = SigningKey::new("k1");
        let state = Arc::new(Mutex::new(State {
            url: String::new(),
            published_key: key.jwk(),
            signing_key: key,
            has_secret: true,
            authentication_methods: vec!["client_secret_basic", "client_secret_post"],
            redirect_uri: String::new(),
            grants: HashMap::new(),
            account: json!({
                "sub": "user-7", "email": "ann@acme.example",
                "organization": organization, "role": role,
            }),
            tamper: Box::new(|_| {}),
            is_unavailable: false,
        }));
        let shared = Arc::clone(&state);
        let answer = move |request: &ReceivedRequest| lock(&shared).answer(request);
        let authority = Arc::new(authority);
        let receiver =
            Receiver::builder().authority(&authority).script(Script::new(answer)).start();
        lock(&state).url = receiver.url("");
        Self { receiver, state }
    }

    /// Its issuer identifier.
    pub fn url(&self) -> String {
        self.receiver.url("")
    }

    /// A file with the certificate of the authority to trust.
    pub fn ca_file(&self) -> &Path {
        self.receiver.ca_file()
    }

    /// Registers the only URI that browsers are redirected to.
    pub fn register(&self, redirect_uri: &str) {
        lock(&self.state).redirect_uri = redirect_uri.to_owned();
    }

    /// From now on its client is public: it has no secret.
    pub fn use_public_client(&self) {
        let mut state = lock(&self.state);
        state.has_secret = false;
        state.authentication_methods = vec!["none"];
    }

    /// Accepts only this method of client authentication from now on.
    pub fn require_client_authentication(&self, method: &'static str) {
        lock(&self.state).authentication_methods = vec![method];
    }

    /// Without a role, tokens have no such claim.
    pub fn set_role(&self, role: Option<&str>) {
        let mut state = lock(&self.state);
        match role {
            Some(role) => state.account["role"] = json!(role),
            None => drop(state.account.as_object_mut().and_then(|it| it.remove("role"))),
        }
    }

    /// Changes the claims of every token from now on.
    pub fn tamper(&self, tamper: impl Fn(&mut Value) + Send + 'static) {
        lock(&self.state).tamper = Box::new(tamper);
    }

    /// From now on signs with another key than the one that it publishes.
    pub fn sign_with_wrong_key(&self) {
        lock(&self.state).signing_key = SigningKey::new("k1");
    }

    /// While it is unavailable it closes every connection without an answer.
    pub fn set_unavailable(&self, is_unavailable: bool) {
        lock(&self.state).is_unavailable = is_unavailable;
    }

    /// Logs in at an authorization URL, without a browser. Returns the URL that the browser would be
    /// redirected to.
    pub fn log_in(&self, authorization_url: &str) -> String {
        let (_, query) = authorization_url.split_once('?').expect("a query");
        let location = lock(&self.state).log_in(query);
        location.unwrap_or_else(|why| panic!("{authorization_url}: {why}"))
    }

    /// An ID token of the account.
    pub fn token(&self) -> String {
        lock(&self.state).id_token(None, "an-access-token")
    }

    /// How many requests its token endpoint got.
    pub fn exchange_count(&self) -> usize {
        self.receiver.requests().iter().filter(|request| request.path == "/token").count()
    }
}

impl State {
    fn answer(&mut self, request: &ReceivedRequest) -> Reply {
        if self.is_unavailable {
            return Reply::Close;
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match (request.method.as_str(), path) {
            ("GET", "/.well-known/openid-configuration") => json_reply(200, &self.discovery()),
            ("GET", "/keys") => json_reply(200, &json!({ "keys": [self.published_key] })),
            // Like an issuer that leaves the login to another site: the browser is redirected there.
            ("GET", "/authorize") => {
                Reply::redirect(&self.on_other_site(&format!("/login?{query}")))
            }
            ("GET", "/login") => self.login_page(query),
            ("POST", "/login") => self.take_login(query, &request.body),
            ("POST", "/token") => self.take_code(request),
            _ => Reply::status(404),
        }
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.url,
            "authorization_endpoint": format!("{}/authorize", self.url),
            "token_endpoint": format!("{}/token", self.url),
            "jwks_uri": format!("{}/keys", self.url),
            "token_endpoint_auth_methods_supported": self.authentication_methods,
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// A URL of this server by its other name, so that browsers take it for another site.
    fn on_other_site(&self, path: &str) -> String {
        format!("{}{path}", self.url.replace("127.0.0.1", "localhost"))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

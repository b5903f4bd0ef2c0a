//! An OpenID Connect issuer on this machine, over TLS, with a page on which people log in.
//!
//! It is as strict as a good one: it sends browsers nowhere but to the redirect URI that is
//! registered, a code is good once, and only with the verifier that fits its challenge
//! (RFC 7636) and for the client that has asked for it. What is wrong with its answers is what a
//! test has asked for.

mod login;
mod signing_key;
mod token_endpoint;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use self::signing_key::{SigningKey, in_seconds, signing_input};
use self::token_endpoint::Grant;
use crate::receiver::{Authority, ReceivedRequest, Receiver, Reply, Script};

/// The client that is registered at every issuer.
pub const CLIENT_ID: &str = "keeptrusts-console";
/// Its secret, if it has one.
pub const CLIENT_SECRET: &str = "s3cret/of the+client:%";

/// An issuer that runs.
pub struct Issuer {
    receiver: Receiver,
    state: Arc<Mutex<State>>,
}

struct State {
    url: String,
    /// Signs tokens; what is published is `published`.
    key: SigningKey,
    published: Value,
    has_secret: bool,
    proofs: Vec<&'static str>,
    redirect_uri: String,
    grants: HashMap<String, Grant>,
    /// What tokens say besides who has issued them when and to whom.
    account: Value,
    /// Changes a token's claims before it is signed.
    tamper: Box<dyn Fn(&mut Value) + Send>,
    is_away: bool,
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
            published: key.jwk(),
            key,
            has_secret: true,
            proofs: vec!["client_secret_basic", "client_secret_post"],
            redirect_uri: String::new(),
            grants: HashMap::new(),
            account: json!({
                "sub": "user-7", "email": "ann@acme.example",
                "organization": organization, "role": role,
            }),
            tamper: Box::new(|_| {}),
            is_away: false,
        }));
        let asked = Arc::clone(&state);
        let answer = move |request: &ReceivedRequest| lock(&asked).answer(request);
        let authority = Arc::new(authority);
        let receiver =
            Receiver::builder().authority(&authority).script(Script::new(answer)).start();
        lock(&state).url = receiver.url("");
        Self { receiver, state }
    }

    /// Its identifier.
    pub fn url(&self) -> String {
        self.receiver.url("")
    }

    /// A file with the certificate of the authority to trust.
    pub fn ca_file(&self) -> &Path {
        self.receiver.ca_file()
    }

    /// Sends browsers back to there from now on, and to nowhere else.
    pub fn register(&self, redirect_uri: &str) {
        lock(&self.state).redirect_uri = redirect_uri.to_owned();
    }

    /// Its client is a public one from now on.
    pub fn use_public_client(&self) {
        let mut state = lock(&self.state);
        state.has_secret = false;
        state.proofs = vec!["none"];
    }

    /// Takes the client's secret in no other way from now on.
    pub fn require_client_authentication(&self, proof: &'static str) {
        lock(&self.state).proofs = vec![proof];
    }

    /// The account's role from now on; none: its tokens have no such claim.
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

    /// Signs by another key from now on than by the one that it publishes under this name.
    pub fn sign_with_wrong_key(&self) {
        lock(&self.state).key = SigningKey::new("k1");
    }

    /// Closes every connection without an answer, or answers again.
    pub fn set_unavailable(&self, is_away: bool) {
        lock(&self.state).is_away = is_away;
    }

    /// What somebody's browser is sent back with who logs in at this authorization URL.
    /// Without a browser.
    pub fn log_in(&self, authorization_url: &str) -> String {
        let (_, query) = authorization_url.split_once('?').expect("a query");
        let location = lock(&self.state).log_in(query);
        location.unwrap_or_else(|why| panic!("{authorization_url}: {why}"))
    }

    /// A token as its accounts get them, for who has it already.
    pub fn token(&self) -> String {
        lock(&self.state).id_token(None, "an-access-token")
    }

    /// How many codes it was asked to exchange.
    pub fn exchange_count(&self) -> usize {
        self.receiver.requests().iter().filter(|request| request.path == "/token").count()
    }
}

impl State {
    fn answer(&mut self, request: &ReceivedRequest) -> Reply {
        if self.is_away {
            return Reply::Close;
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match (request.method.as_str(), path) {
            ("GET", "/.well-known/openid-configuration") => json_reply(200, &self.discovery()),
            ("GET", "/keys") => json_reply(200, &json!({ "keys": [self.published] })),
            // As one does that lets others know the people: by another name, so that the browser
            // is led over a third site.
            ("GET", "/authorize") => Reply::redirect(&self.elsewhere(&format!("/login?{query}"))),
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
            "token_endpoint_auth_methods_supported": self.proofs,
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// The same machine by another name.
    fn elsewhere(&self, path: &str) -> String {
        format!("{}{path}", self.url.replace("127.0.0.1", "localhost"))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json_reply(status: u16, document: &Value) -> Reply {
    let reply = Reply::status(status).with_header("content-type", "application/json");
    reply.with_body(document.to_string())
}

/// The parameters of a query or of a form.
fn parameters(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

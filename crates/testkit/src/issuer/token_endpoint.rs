//! The token endpoint (OpenID Connect Core 1.0 section 3.1.3).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::message::{json_reply, parameters};
use super::signing_key::in_seconds;
use super::state::{CLIENT_ID, CLIENT_SECRET, State};
use crate::receiver::{ReceivedRequest, Reply};

impl State {
    pub(super) fn take_code(&mut self, request: &ReceivedRequest) -> Reply {
        if !self.is_authenticated(request) {
            return refused(401, "invalid_client");
        }
        let form = parameters(&request.body);
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        if get("grant_type") != "authorization_code" {
            return refused(400, "unsupported_grant_type");
        }
        let is_same_redirect_uri = get("redirect_uri") == self.redirect_uri;
        let verifier = get("code_verifier");
        let nonce = match self.grants.get_mut(get("code")) {
            Some(grant)
                if is_same_redirect_uri && !grant.is_used && hash(verifier) == grant.challenge =>
            {
                grant.is_used = true;
                grant.nonce.clone()
            }
            _ => return refused(400, "invalid_grant"),
        };
        let access_token = "an-access-token";
        let id_token = self.id_token(nonce, access_token);
        let tokens = json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": 300,
            "id_token": id_token,
        });
        json_reply(200, &tokens)
    }

    pub(super) fn id_token(&self, nonce: Option<String>, access_token: &str) -> String {
        let half = &digest(&SHA256, access_token.as_bytes()).as_ref()[..16].to_vec();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "azp": CLIENT_ID, "nonce": nonce,
            "at_hash": URL_SAFE_NO_PAD.encode(half), "exp": in_seconds(300), "iat": in_seconds(0),
        });
        if let (Value::Object(claims), Value::Object(account)) = (&mut claims, &self.account) {
            claims.extend(account.clone());
        }
        (self.tamper)(&mut claims);
        self.signing_key.sign(&claims)
    }

    /// Whether the client authenticates itself by an accepted method (RFC 6749 section 2.3.1).
    fn is_authenticated(&self, request: &ReceivedRequest) -> bool {
        let form = parameters(&request.body);
        let accepts = |method: &str| self.authentication_methods.contains(&method);
        let is_named = form.get("client_id").is_some_and(|id| id == CLIENT_ID);
        match (request.header("authorization"), form.get("client_secret")) {
            (Some(header), None) => {
                // Each of the two is encoded as in a form first.
                let encode = |text: &str| -> String {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let pair = format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET));
                accepts("client_secret_basic")
                    && header == format!("Basic {}", STANDARD.encode(pair))
            }
            (None, Some(secret)) => {
                accepts("client_secret_post") && is_named && secret == CLIENT_SECRET
            }
            (None, None) => !self.has_secret && is_named,
            (Some(_), Some(_)) => false,
        }
    }
}

fn refused(status: u16, error: &str) -> Reply {
    json_reply(status, &json!({ "error": error, "error_description": "said at the issuer" }))
}

/// RFC 7636 section 4.6.
fn hash(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

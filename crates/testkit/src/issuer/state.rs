//! What the issuer knows: its one client, its one account, and the codes that it has given out.

use std::collections::HashMap;

use serde_json::Value;

use super::signing_key::SigningKey;

/// The client that is registered at every issuer.
pub const CLIENT_ID: &str = "keeptrusts-console";
/// Its secret, if it has one.
pub const CLIENT_SECRET: &str = "s3cret/of the+client:%";

pub(super) struct State {
    pub(super) url: String,
    /// Signs tokens. The key that clients are told of is `published_key`.
    pub(super) signing_key: SigningKey,
    pub(super) published_key: Value,
    pub(super) has_secret: bool,
    /// The ways of client authentication that are accepted, by their registered names.
    pub(super) authentication_methods: Vec<&'static str>,
    pub(super) redirect_uri: String,
    /// By authorization code.
    pub(super) grants: HashMap<String, Grant>,
    /// The claims about the account.
    pub(super) account: Value,
    /// Changes a token's claims before it is signed.
    pub(super) tamper: Box<dyn Fn(&mut Value) + Send>,
    pub(super) is_unavailable: bool,
}

/// What an authorization code stands for.
pub(super) struct Grant {
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) is_used: bool,
}

//! JSON Web Tokens of an OpenID Connect issuer (OpenID Connect Core 1.0, RFC 7519, RFC 8725).

mod claims;
mod issuer;

use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::Caller;
use serde_json::{Map, Value};
use tonic::Status;

pub(crate) use claims::ClaimNames;
use issuer::NoKeys;
pub(crate) use issuer::{IssuerKeys, Source};

use crate::limits::{CLOCK_SKEW, ISSUER_KEYS_PAUSE};
use crate::ring_provider::{self, ALGORITHMS};

/// Whose tokens are accepted, and what they must say.
pub(crate) struct WebTokens {
    keys: Arc<IssuerKeys>,
    issuer: Option<String>,
    audiences: Vec<String>,
    names: ClaimNames,
}

impl WebTokens {
    pub(crate) fn new(
        keys: Arc<IssuerKeys>,
        issuer: Option<String>,
        audiences: Vec<String>,
        names: ClaimNames,
    ) -> WebTokens {
        ring_provider::install();
        WebTokens { keys, issuer, audiences, names }
    }

    /// Whose a token is. None: it is not valid. PERMISSION_DENIED: it is, but says nothing of an
    /// organization or a role.
    pub(crate) async fn caller(&self, token: &str) -> Result<Option<Caller>, Status> {
        let Ok(header) = decode_header(token) else { return Ok(None) };
        // RFC 7515 section 4.1.11: what must be understood, and is not, makes it invalid.
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Ok(None);
        }
        let fits = |key: &Jwk| is_for(key, header.alg.into());
        let found = self.keys.find(header.kid.as_deref(), fits).await.map_err(|NoKeys| {
            let message =
                "the keys of the issuer of web tokens cannot be had: try again, or use a key";
            status::unavailable(Reason::IssuerUnavailable, message, ISSUER_KEYS_PAUSE)
        })?;
        let Some(key) = found else { return Ok(None) };
        // The key's own algorithm has been compared; this holds the token to the header's.
        let mut validation = Validation::new(header.alg);
        validation.leeway = CLOCK_SKEW.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&self.audiences);
        let mut required = vec!["exp", "aud", "sub"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        match decode::<Map<String, Value>>(token, &key, &validation) {
            Ok(decoded) => self.names.caller(&decoded.claims).map_err(status::permission_denied),
            Err(_) => Ok(None),
        }
    }
}

/// Whether a key verifies signatures of this algorithm (RFC 7517 sections 4.2 and 4.4).
fn is_for(key: &Jwk, algorithm: KeyAlgorithm) -> bool {
    let for_signatures =
        key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let same_algorithm = key.common.key_algorithm.is_none_or(|own| own == algorithm);
    for_signatures && same_algorithm
}

/// The key that a token names, or the only one that fits if it names none.
fn choose(keys: &JwkSet, kid: Option<&str>, fits: impl Fn(&Jwk) -> bool) -> Option<DecodingKey> {
    let mut fitting = keys.keys.iter().filter(|key| fits(key));
    let key = match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid))?,
        None => fitting.next().filter(|_| fitting.next().is_none())?,
    };
    DecodingKey::from_jwk(key).ok()
}

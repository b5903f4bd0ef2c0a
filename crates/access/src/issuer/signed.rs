//! Tokens that an issuer has signed (RFC 7519, RFC 8725).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use ring::digest;
use serde_json::{Map, Value};

use super::keys::{IssuerKeys, NoKeys};
use crate::limits::CLOCK_SKEW;
use crate::ring_provider::{self, ALGORITHMS};

/// What a token says.
pub type Claims = Map<String, Value>;

/// The tokens of an issuer for certain audiences.
pub struct SignedTokens {
    keys: Arc<IssuerKeys>,
    issuer: Option<String>,
    audiences: Vec<String>,
}

/// A token whose signature, issuer, audience, subject and times are in order.
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    algorithm: Algorithm,
}

impl Verified {
    /// The hash by which it names another token, such as the access token that came with it:
    /// half of the digest that its own signature is made over (OpenID Connect Core 1.0 section
    /// 3.1.3.6; for Ed25519 that is SHA-512, RFC 8032 section 5.1).
    pub fn hash_of(&self, other: &str) -> String {
        let algorithm = match self.algorithm {
            Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
            Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let digest = digest::digest(algorithm, other.as_bytes());
        let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
        URL_SAFE_NO_PAD.encode(half)
    }
}

/// Why a token says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// Whatever is wrong with it.
    #[error("the token is not valid")]
    Invalid,
    /// It cannot be told.
    #[error("the issuer's keys have never been had")]
    NoKeys,
}

impl SignedTokens {
    pub(crate) fn new(
        keys: Arc<IssuerKeys>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> SignedTokens {
        ring_provider::install();
        SignedTokens { keys, issuer, audiences }
    }

    /// What a token says, if it is one of these.
    pub async fn verify(&self, token: &str) -> Result<Verified, NotVerified> {
        let header = decode_header(token).map_err(|_| NotVerified::Invalid)?;
        // RFC 7515 section 4.1.11: what must be understood, and is not, makes it invalid.
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(NotVerified::Invalid);
        }
        let fits = |key: &Jwk| is_for(key, header.alg.into());
        let found = self.keys.find(header.kid.as_deref(), fits).await;
        let key = found.map_err(|NoKeys| NotVerified::NoKeys)?.ok_or(NotVerified::Invalid)?;
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
        let decoded = decode::<Claims>(token, &key, &validation);
        let claims = decoded.map_err(|_| NotVerified::Invalid)?.claims;
        Ok(Verified { claims, algorithm: header.alg })
    }
}

/// Whether a key verifies signatures of this algorithm (RFC 7517 sections 4.2 and 4.4).
fn is_for(key: &Jwk, algorithm: KeyAlgorithm) -> bool {
    let for_signatures =
        key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let same_algorithm = key.common.key_algorithm.is_none_or(|own| own == algorithm);
    for_signatures && same_algorithm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_token_is_named_by_half_of_its_digest() {
        // The access token and its at_hash of OpenID Connect Core 1.0 appendix A.3.
        let verified = Verified { claims: Claims::new(), algorithm: Algorithm::RS256 };
        let hash = verified.hash_of("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
        let of = |algorithm| Verified { claims: Claims::new(), algorithm }.hash_of("x").len();
        assert_eq!([of(Algorithm::ES384), of(Algorithm::EdDSA)], [32, 43]);
    }
}

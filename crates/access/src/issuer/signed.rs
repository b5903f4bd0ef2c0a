//! Tokens that an issuer has signed (RFC 7519, RFC 8725).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use keeptrusts_webhooks_domain::Timestamp;
use ring::digest;
use serde_json::Value;

use super::claims::Claims;
use super::defect::{Defect, part, shown};
use super::keys::{IssuerKeys, NotFound};
use crate::limits::CLOCK_SKEW;
use crate::ring_provider::{self, ALGORITHMS};

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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It is not in order, for a reason that concerns the operator and nobody else.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] Defect),
    /// It cannot be told.
    #[error("the issuer's keys cannot be had, or have not been had for too long")]
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
        let header = decode_header(token).map_err(|_| unusable_header(token))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(unusable_header(token).into());
        }
        // RFC 7515 section 4.1.11: what must be understood, and is not, makes it invalid.
        if header.crit.is_some() {
            return Err(Defect::Extensions.into());
        }
        let fits = |key: &Jwk| is_for(key, header.alg.into());
        let found = self.keys.find(header.kid.as_deref(), fits).await;
        let key = found.map_err(|not_found| match not_found {
            NotFound::NoKeys => NotVerified::NoKeys,
            NotFound::Unknown { known } => {
                let (found, algorithm) = (key_id(&header), format!("{:?}", header.alg));
                Defect::Key { found, algorithm, known }.into()
            }
        })?;
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
        match decoded {
            Ok(decoded) => Ok(Verified { claims: decoded.claims, algorithm: header.alg }),
            Err(error) => Err(self.defect(token, &header, &error).into()),
        }
    }

    /// What the library has refused a token for. It looks at the signature before the claims.
    fn defect(&self, token: &str, header: &Header, error: &Error) -> Defect {
        let claim = match error.kind() {
            ErrorKind::InvalidSignature => return Defect::Signature { key: key_id(header) },
            ErrorKind::ExpiredSignature => "exp",
            ErrorKind::ImmatureSignature => "nbf",
            ErrorKind::InvalidIssuer => "iss",
            ErrorKind::InvalidAudience => "aud",
            ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => name,
            _ => return Defect::Unreadable,
        };
        let claims = part(token, 1).unwrap_or_default();
        let now = Timestamp::now();
        let skew = CLOCK_SKEW.as_secs();
        let at = format!("it is {now:.0}, and clocks may be {skew} s apart");
        match claim {
            "exp" => {
                Defect::claim(&claims, "exp", format!("a time to come: {}, {at}", now.as_second()))
            }
            "nbf" => {
                Defect::claim(&claims, "nbf", format!("a time past: {}, {at}", now.as_second()))
            }
            "iss" => Defect::claim(
                &claims,
                "iss",
                format!("{:?}", self.issuer.as_deref().unwrap_or_default()),
            ),
            "aud" => Defect::claim(&claims, "aud", format!("one of {:?}", self.audiences)),
            _ => Defect::claim(&claims, "sub", "a text"),
        }
    }
}

/// A header that is no header of ours: most often its algorithm is another one.
fn unusable_header(token: &str) -> Defect {
    match part(token, 0) {
        Some(header) if token.split('.').count() == 3 => {
            let known = ALGORITHMS.iter().map(|algorithm| format!("{algorithm:?}"));
            match header.get("alg").and_then(Value::as_str) {
                Some(name) if known.into_iter().any(|known| known == name) => Defect::Unreadable,
                _ => Defect::Algorithm { found: shown(header.get("alg")) },
            }
        }
        _ => Defect::Unreadable,
    }
}

fn key_id(header: &Header) -> String {
    shown(header.kid.clone().map(Value::String).as_ref())
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
    fn a_key_is_for_signatures_and_for_its_own_algorithm() {
        let fits = |further: serde_json::Value| {
            let mut key = serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "kid": "one",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            });
            let object = key.as_object_mut().expect("an object");
            object.extend(further.as_object().expect("an object").clone());
            let key: Jwk = serde_json::from_value(key).expect("a key");
            is_for(&key, KeyAlgorithm::EdDSA)
        };
        assert!(fits(serde_json::json!({})));
        assert!(fits(serde_json::json!({"use": "sig", "alg": "EdDSA"})));
        assert!(!fits(serde_json::json!({"use": "enc"})));
        assert!(!fits(serde_json::json!({"alg": "ES256"})));
    }

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

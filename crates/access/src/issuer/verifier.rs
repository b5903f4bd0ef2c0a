//! Verifies the JSON Web Tokens of an issuer (RFC 7519, RFC 8725).

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
use super::keys::{IssuerKeys, KeyLookupError};
use super::token_defect::{TokenDefect, decode_part, for_log};
use crate::limits::CLOCK_SKEW;
use crate::ring_provider::{self, ALGORITHMS};

/// Accepts the tokens of one issuer for certain audiences.
pub struct TokenVerifier {
    keys: Arc<IssuerKeys>,
    /// None: any issuer that signs with the keys.
    issuer: Option<String>,
    audiences: Vec<String>,
}

/// A token whose signature, issuer, audience, subject and times are valid.
pub struct VerifiedToken {
    pub claims: Claims,
    algorithm: Algorithm,
}

impl VerifiedToken {
    /// The hash that this token must contain for another token, such as the access token that came
    /// with it: the left half of a digest, by the hash function of this token's own algorithm
    /// (OpenID Connect Core 1.0 section 3.1.3.6; Ed25519 uses SHA-512, RFC 8032 section 5.1).
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

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The reason is for the operator's log only.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] TokenDefect),
    /// Without the issuer's keys it is unknown whether the token is valid.
    #[error("the issuer's keys cannot be had, or have not been had for too long")]
    NoKeys,
}

impl TokenVerifier {
    pub(crate) fn new(
        keys: Arc<IssuerKeys>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> TokenVerifier {
        ring_provider::install();
        TokenVerifier { keys, issuer, audiences }
    }

    pub async fn verify(&self, token: &str) -> Result<VerifiedToken, VerificationError> {
        let header = decode_header(token).map_err(|_| unusable_header(token))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(unusable_header(token).into());
        }
        // RFC 7515 section 4.1.11: extensions that must be understood, and are not, make the token
        // invalid.
        if header.crit.is_some() {
            return Err(TokenDefect::Extensions.into());
        }
        let fits = |key: &Jwk| is_for(key, header.alg.into());
        let key = self.keys.find(header.kid.as_deref(), fits).await;
        let key = key.map_err(|not_found| match not_found {
            KeyLookupError::NoKeys => VerificationError::NoKeys,
            KeyLookupError::Unknown { known } => {
                let (found, algorithm) = (key_id(&header), format!("{:?}", header.alg));
                TokenDefect::Key { found, algorithm, known }.into()
            }
        })?;
        // `fits` has compared the key's algorithm with the header's. This pins the header's.
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
            Ok(decoded) => Ok(VerifiedToken { claims: decoded.claims, algorithm: header.alg }),
            Err(error) => Err(self.defect(token, &header, &error).into()),
        }
    }

    /// Translates the library's error. The library checks the signature before the claims.
    fn defect(&self, token: &str, header: &Header, error: &Error) -> TokenDefect {
        let claim = match error.kind() {
            ErrorKind::InvalidSignature => return TokenDefect::Signature { key: key_id(header) },
            ErrorKind::ExpiredSignature => "exp",
            ErrorKind::ImmatureSignature => "nbf",
            ErrorKind::InvalidIssuer => "iss",
            ErrorKind::InvalidAudience => "aud",
            ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => name,
            _ => return TokenDefect::Unreadable,
        };
        let claims = decode_part(token, 1).unwrap_or_default();
        let now = Timestamp::now();
        let skew = CLOCK_SKEW.as_secs();
        let at = format!("it is {now:.0}, and clocks may be {skew} s apart");
        match claim {
            "exp" => TokenDefect::claim(
                &claims,
                "exp",
                format!("a time to come: {}, {at}", now.as_second()),
            ),
            "nbf" => TokenDefect::claim(
                &claims,
                "nbf",
                format!("a time past: {}, {at}", now.as_second()),
            ),
            "iss" => TokenDefect::claim(
                &claims,
                "iss",
                format!("{:?}", self.issuer.as_deref().unwrap_or_default()),
            ),
            "aud" => TokenDefect::claim(&claims, "aud", format!("one of {:?}", self.audiences)),
            _ => TokenDefect::claim(&claims, "sub", "a text"),
        }
    }
}

/// Why a header is refused. Mostly its algorithm is not supported.
fn unusable_header(token: &str) -> TokenDefect {
    match decode_part(token, 0) {
        Some(header) if token.split('.').count() == 3 => {
            let known = ALGORITHMS.iter().map(|algorithm| format!("{algorithm:?}"));
            match header.get("alg").and_then(Value::as_str) {
                Some(name) if known.into_iter().any(|known| known == name) => {
                    TokenDefect::Unreadable
                }
                _ => TokenDefect::Algorithm { found: for_log(header.get("alg")) },
            }
        }
        _ => TokenDefect::Unreadable,
    }
}

fn key_id(header: &Header) -> String {
    for_log(header.kid.clone().map(Value::String).as_ref())
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
    fn a_key_verifies_signatures_of_its_own_algorithm_only() {
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
    fn the_hash_of_another_token_is_the_left_half_of_its_digest() {
        // The access token and its at_hash of OpenID Connect Core 1.0 appendix A.3.
        let verified = VerifiedToken { claims: Claims::new(), algorithm: Algorithm::RS256 };
        let hash = verified.hash_of("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
        let of = |algorithm| VerifiedToken { claims: Claims::new(), algorithm }.hash_of("x").len();
        assert_eq!([of(Algorithm::ES384), of(Algorithm::EdDSA)], [32, 43]);
    }
}

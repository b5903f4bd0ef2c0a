//! Checks that an ID token is the one that was asked for (OpenID Connect Core 1.0 section 3.1.3.7).
//! Signature, issuer, audience and times have been checked before. What is left, only the client
//! that has asked can check.

use jiff::Timestamp;
use keeptrusts_webhooks_access::issuer::Claims;
use keeptrusts_webhooks_access::limits::CLOCK_SKEW;
use serde_json::Value;

/// How old a token may be that was issued for this sign-in. Some issuers date tokens back by
/// minutes, for clients whose clocks are behind.
const MAX_AGE_SECONDS: i64 = 10 * 60;

/// Why it is not that token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdTokenError {
    #[error("its nonce is not the one of this sign-in")]
    Nonce,
    #[error("it is for others as well as for this client (aud)")]
    Audience,
    #[error("it was issued to another client (azp)")]
    Party,
    #[error("it does not say that it was issued just now (iat)")]
    Time,
    #[error("it belongs to another access token (at_hash)")]
    AccessToken,
}

/// What the token's claims are compared with.
pub(super) struct ExpectedClaims<'a> {
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The hash of the access token that came with it.
    pub(super) at_hash: &'a str,
    pub(super) now: Timestamp,
}

pub(super) fn check(claims: &Claims, expected: &ExpectedClaims<'_>) -> Result<(), IdTokenError> {
    let claim = |name: &str| claims.get(name);
    let is_text = |name: &str, text: &str| claim(name).and_then(Value::as_str) == Some(text);
    // Step 11.
    if !is_text("nonce", expected.nonce) {
        return Err(IdTokenError::Nonce);
    }
    // Step 3: we trust no other audience with a token of ours.
    let is_ours = |audience: &Value| audience.as_str() == Some(expected.client_id);
    let is_only_ours = match claim("aud") {
        Some(Value::Array(audiences)) => audiences.iter().all(is_ours),
        Some(audience) => is_ours(audience),
        None => false,
    };
    if !is_only_ours {
        return Err(IdTokenError::Audience);
    }
    // Step 5.
    if claim("azp").is_some() && !is_text("azp", expected.client_id) {
        return Err(IdTokenError::Party);
    }
    // Step 10.
    let issued = claim("iat").and_then(Value::as_f64).ok_or(IdTokenError::Time)?;
    let (age, skew) = (expected.now.as_second() as f64 - issued, CLOCK_SKEW.as_secs_f64());
    if !(-skew..=MAX_AGE_SECONDS as f64 + skew).contains(&age) {
        return Err(IdTokenError::Time);
    }
    // Section 3.1.3.8.
    if claim("at_hash").is_some() && !is_text("at_hash", expected.at_hash) {
        return Err(IdTokenError::AccessToken);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn checked(change: impl FnOnce(&mut Value)) -> Result<(), IdTokenError> {
        let mut claims = json!({"aud": "console", "nonce": "n-1", "iat": NOW});
        change(&mut claims);
        let expected = ExpectedClaims {
            client_id: "console",
            nonce: "n-1",
            at_hash: "77QmUPtjPfzWtF2AnpK9RQ",
            now: Timestamp::from_second(NOW).expect("a time"),
        };
        check(claims.as_object().expect("an object"), &expected)
    }

    #[test]
    fn a_token_is_for_this_sign_in_and_for_this_client_alone() {
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(checked(|claims| claims["aud"] = json!(["console"])), Ok(()));
        assert_eq!(checked(|claims| claims["azp"] = json!("console")), Ok(()));
        for nonce in [json!("n-2"), json!(""), json!(null), json!(7)] {
            assert_eq!(checked(|claims| claims["nonce"] = nonce), Err(IdTokenError::Nonce));
        }
        let several = json!(["console", "another"]);
        assert_eq!(checked(|claims| claims["aud"] = several), Err(IdTokenError::Audience));
        for party in [json!("another"), json!(null), json!(["console"])] {
            assert_eq!(checked(|claims| claims["azp"] = party), Err(IdTokenError::Party));
        }
    }

    #[test]
    fn a_token_was_issued_just_now() {
        for age in [-30, 0, 300, 600] {
            assert_eq!(checked(|claims| claims["iat"] = json!(NOW - age)), Ok(()), "{age}");
        }
        for issued in [json!(NOW + 31), json!(NOW - 631), json!("now"), json!(null)] {
            assert_eq!(checked(|claims| claims["iat"] = issued), Err(IdTokenError::Time));
        }
    }

    #[test]
    fn a_token_belongs_to_the_access_token_that_it_came_with() {
        let hash = json!("77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(checked(|claims| claims["at_hash"] = hash), Ok(()));
        let other = json!("77QmUPtjPfzWtF2AnpK9RA");
        assert_eq!(checked(|claims| claims["at_hash"] = other), Err(IdTokenError::AccessToken));
        assert_eq!(checked(|claims| claims["at_hash"] = json!(1)), Err(IdTokenError::AccessToken));
    }
}

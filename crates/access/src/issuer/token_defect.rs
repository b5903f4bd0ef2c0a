//! Why a token is not valid, for the operator's log. Clients are not told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::visible_text::with_hidden_escaped;
use serde_json::Value;

use super::claims::Claims;
use crate::ring_provider::ALGORITHMS;

/// Characters of a value that are logged.
const MAX_LOGGED_CHARS: usize = 200;

/// Where the token is wrong, what it contains there, and what was expected. The values come from the
/// token, shortened and escaped. Claims were signed by the issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenDefect {
    /// RFC 7519 section 7.2.
    #[error("it is not a JSON Web Token")]
    Unreadable,
    #[error("its algorithm (alg) is {found}, wanted is one of {ALGORITHMS:?}")]
    Algorithm { found: String },
    /// RFC 7515 section 4.1.11.
    #[error("it demands extensions (crit), and none are known")]
    Extensions,
    /// The issuer has no such key.
    #[error(
        "its key id (kid) is {found}, wanted is one of the issuer's keys for {algorithm}: {known}"
    )]
    Key { found: String, algorithm: String, known: String },
    #[error("its signature is not by the issuer's key {key}")]
    Signature { key: String },
    #[error("its claim `{claim}` is {found}, wanted is {wanted}")]
    Claim { claim: &'static str, found: String, wanted: String },
}

impl TokenDefect {
    pub(crate) fn claim(
        claims: &Claims,
        claim: &'static str,
        wanted: impl Into<String>,
    ) -> TokenDefect {
        TokenDefect::Claim { claim, found: for_log(claims.get(claim)), wanted: wanted.into() }
    }

    /// One of a few words, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            TokenDefect::Unreadable => "form",
            TokenDefect::Algorithm { .. } => "alg",
            TokenDefect::Extensions => "crit",
            TokenDefect::Key { .. } => "kid",
            TokenDefect::Signature { .. } => "signature",
            TokenDefect::Claim { claim, .. } => claim,
        }
    }
}

/// A value of a token for the log: JSON in one line, of limited length.
pub(crate) fn for_log(value: Option<&Value>) -> String {
    let Some(value) = value else { return "missing".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(MAX_LOGGED_CHARS) {
        Some((end, _)) => with_hidden_escaped(&text[..end]) + "…",
        None => with_hidden_escaped(&text),
    }
}

/// Decodes the header (0) or the claims (1) of a token without verifying it.
pub(super) fn decode_part(token: &str, index: usize) -> Option<Claims> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_logged_in_one_line_of_limited_length() {
        let value = |value: Value| for_log(Some(&value));
        assert_eq!(for_log(None), "missing");
        assert_eq!(value(json!(["a", 1])), r#"["a",1]"#);
        assert_eq!(value(json!("a\nb\u{202e}c\u{3164}")), r#""a\nb\u{202e}c\u{3164}""#);
        assert_eq!(value(json!("x".repeat(8_000))).chars().count(), MAX_LOGGED_CHARS + 1);
    }
}

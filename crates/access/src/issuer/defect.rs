//! What is wrong with a token. For the operator's log: who has sent the token hears nothing of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::Claims;
use crate::ring_provider::ALGORITHMS;

/// How much of a value of the token is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// What is wrong: where in the token, what is there, and what was wanted. The values are the
/// token's own, shortened and escaped; what is in claims has been signed by the issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It cannot be read (RFC 7519 section 7.2).
    #[error("it is not a JSON Web Token")]
    Unreadable,
    /// Nobody here verifies such signatures.
    #[error("its algorithm (alg) is {found}, wanted is one of {ALGORITHMS:?}")]
    Algorithm {
        /// The header's.
        found: String,
    },
    /// What must be understood, and is not (RFC 7515 section 4.1.11).
    #[error("it demands extensions (crit), and none are known")]
    Extensions,
    /// The issuer has no such key.
    #[error(
        "its key id (kid) is {found}, wanted is one of the issuer's keys for {algorithm}: {known}"
    )]
    Key {
        /// The header's.
        found: String,
        /// What the key would be for.
        algorithm: String,
        /// The ids of those that the issuer has.
        known: String,
    },
    /// It was not made with the key that it names.
    #[error("its signature is not by the issuer's key {key}")]
    Signature {
        /// The header's.
        key: String,
    },
    /// A claim does not say what it has to say.
    #[error("its claim `{claim}` is {found}, wanted is {wanted}")]
    Claim {
        /// Which one.
        claim: &'static str,
        /// What it says.
        found: String,
        /// What it has to say.
        wanted: String,
    },
}

impl Defect {
    /// A claim that does not say what it has to say.
    pub(crate) fn claim(claims: &Claims, claim: &'static str, wanted: impl Into<String>) -> Defect {
        Defect::Claim { claim, found: shown(claims.get(claim)), wanted: wanted.into() }
    }

    /// What kind it is, in a word: one of few, whatever tokens come.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Defect::Unreadable => "form",
            Defect::Algorithm { .. } => "alg",
            Defect::Extensions => "crit",
            Defect::Key { .. } => "kid",
            Defect::Signature { .. } => "signature",
            Defect::Claim { claim, .. } => claim,
        }
    }
}

/// A value of a token as it is shown: JSON, in one line, of limited length.
pub(crate) fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "missing".to_owned() };
    let text = value.to_string();
    let mut shown = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == MAX_SHOWN_CHARS {
            shown.push('…');
            break;
        }
        match char {
            ' '..='~' => shown.push(char),
            // Nor do letters that turn text around get into the log.
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// The header (0) or the claims (1) of a token, whoever has made it.
pub(super) fn part(token: &str, index: usize) -> Option<Claims> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_shown_in_one_line_of_limited_length() {
        let value = |value: Value| shown(Some(&value));
        assert_eq!(shown(None), "missing");
        assert_eq!(value(json!(["a", 1])), r#"["a",1]"#);
        assert_eq!(value(json!("a\nb\u{202e}c")), r#""a\nb\u{202e}c""#);
        assert_eq!(value(json!("x".repeat(8_000))).chars().count(), MAX_SHOWN_CHARS + 1);
    }
}

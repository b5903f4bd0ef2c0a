//! Secrets. They are in clear only while a request is signed or built, or an admin sees one.
//!
//! Decision: docs/decisions/a-secret-is-one-text-and-two-keys.md

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::{MAX_SECRET_BYTES, MIN_SECRET_BYTES, STANDARD_KEY_BYTES};
use crate::violation::Violation;
use crate::visible_text::first_hidden;

/// The prefix of a Standard Webhooks secret. The base64 of the key follows.
const STANDARD_PREFIX: &str = "whsec_";

/// The prefixes of keys for the asymmetric signatures of Standard Webhooks (ed25519), which we do not
/// make.
const ASYMMETRIC_PREFIXES: [(&str, &str); 2] = [("whsk_", "private"), ("whpk_", "public")];

/// A shared secret in clear. Debug does not print it, and its memory is wiped on drop.
///
/// The secret is the key of both signatures that a receiver may verify: `X-Keeptrusts-Signature` uses
/// its UTF-8 bytes, and `webhook-signature` its [standard key](Secret::standard_key).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Checks a secret that a user chose: 16 to 256 bytes of UTF-8. One that begins with `whsec_` must be
    /// valid for libraries of Standard Webhooks: standard padded base64 of 24 to 64 bytes follows, and
    /// nothing else. Invisible characters (blanks and line breaks at an end, control and format
    /// characters) are refused, because they were copied by mistake and the receiver's key would not
    /// have them.
    pub fn new(text: String) -> Result<Secret, Violation> {
        let secret = Secret(Zeroizing::new(text));
        match secret.violation() {
            None => Ok(secret),
            Some(violation) => Err(violation),
        }
    }

    fn violation(&self) -> Option<Violation> {
        let text = self.0.as_str();
        if text.len() > MAX_SECRET_BYTES {
            return Some(Violation::too_long("secret", self.wrong_length()));
        }
        self.problem().map(|problem| Violation::invalid_format("secret", problem))
    }

    fn wrong_length(&self) -> String {
        format!("is {} bytes; it must be {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}", self.0.len())
    }

    fn problem(&self) -> Option<String> {
        let text = self.0.as_str();
        for (prefix, kind) in ASYMMETRIC_PREFIXES {
            if text.starts_with(prefix) {
                return Some(format!(
                    "begins with {prefix}, which is the {kind} key of an asymmetric signature; deliveries are signed with a shared secret: {ADVICE}"
                ));
            }
        }
        if text.starts_with(STANDARD_PREFIX) && self.decoded().is_none() {
            return Some(format!(
                "begins with {STANDARD_PREFIX}, but what follows is not standard base64, with padding, of 24 to 64 bytes: {ADVICE}"
            ));
        }
        if let Some(hidden) = first_hidden(text) {
            return Some(format!(
                "has {}, which does not show: leave it out, and type the secret anew if it was copied",
                hidden_name(hidden)
            ));
        }
        if text.trim() != text {
            return Some("begins or ends with a blank: leave it out".to_owned());
        }
        (text.len() < MIN_SECRET_BYTES).then(|| self.wrong_length())
    }

    /// A generated secret: `whsec_` and the base64 of the random bytes, as Standard Webhooks 1.0
    /// writes secrets.
    pub fn from_random(random: [u8; 32]) -> Secret {
        Secret(with_prefix(&random))
    }

    /// A secret that was sealed, after opening it. It is not checked again, so that secrets from before
    /// a rule still work.
    pub fn opened(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The secret in clear. Only for signing, sealing and showing it to an admin.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key of `webhook-signature`: the decoded base64 after `whsec_`, otherwise the UTF-8 bytes. A
    /// library of Standard Webhooks gets the same key from the [standard form](Secret::standard_form).
    /// (The log may hold older secrets with `whsec_` and no valid base64; their key is the UTF-8 bytes
    /// too.)
    pub fn standard_key(&self) -> Zeroizing<Vec<u8>> {
        self.decoded().unwrap_or_else(|| Zeroizing::new(self.0.as_bytes().to_vec()))
    }

    /// The secret as libraries of Standard Webhooks expect it: the secret itself if it is in their form,
    /// otherwise `whsec_` and the base64 of its UTF-8 bytes.
    pub fn standard_form(&self) -> Zeroizing<String> {
        match self.decoded() {
            Some(_) => self.0.clone(),
            None => with_prefix(self.0.as_bytes()),
        }
    }

    /// The decoded base64 after `whsec_`, if the secret is in the form of Standard Webhooks.
    fn decoded(&self) -> Option<Zeroizing<Vec<u8>>> {
        let base64 = self.0.strip_prefix(STANDARD_PREFIX)?;
        // The vector never grows, because growing would leave a copy of the key in memory.
        let mut key = Zeroizing::new(Vec::with_capacity(base64.len()));
        // This engine accepts canonical padding only, and no stray trailing bits.
        STANDARD.decode_vec(base64, &mut key).ok()?;
        STANDARD_KEY_BYTES.contains(&key.len()).then_some(key)
    }
}

/// The name of an invisible character. Naming it reveals nothing of the secret.
fn hidden_name(hidden: char) -> String {
    let code = format!("U+{:04X}", u32::from(hidden));
    match hidden {
        '\n' | '\r' | '\u{2028}' | '\u{2029}' => format!("a line break ({code})"),
        '\t' => format!("a tab ({code})"),
        '\u{FEFF}' => format!("a byte order mark ({code})"),
        _ if hidden.is_control() => format!("a control character ({code})"),
        _ => format!("an invisible character ({code})"),
    }
}

const ADVICE: &str = "give whsec_ and the base64 of 32 random bytes (`openssl rand -base64 32`)";

fn with_prefix(key: &[u8]) -> Zeroizing<String> {
    let room = STANDARD_PREFIX.len() + key.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(STANDARD_PREFIX);
    STANDARD.encode_string(key, &mut text);
    text
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret as the log and the tables hold it: encrypted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedSecret {
    /// The id of the organization's data key that opens it.
    pub key_id: String,
    /// The nonce. It is never used twice with the same key.
    #[serde(with = "hex::serde")]
    pub nonce: [u8; 12],
    /// The ciphertext, followed by the authentication tag.
    #[serde(with = "hex::serde")]
    pub ciphertext: Vec<u8>,
}

impl SealedSecret {
    /// The fields of its JSON that are not for people.
    pub(crate) const HIDDEN_FIELDS: [&'static str; 2] = ["nonce", "ciphertext"];
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret(key {})", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::*;
    use crate::key::{Token, TokenDigest};
    use crate::payload_format::{PayloadFormat, RoutingKey};

    #[test]
    fn invariant_10_debug_output_shows_nothing_of_a_secret() {
        let secret = Secret::new("correct horse battery".to_owned()).expect("long enough");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    /// Whether a type can be written into a document.
    struct Probe<T>(PhantomData<T>);

    impl<T: Serialize> Probe<T> {
        const IS_WRITABLE: bool = true;
    }

    trait Otherwise {
        const IS_WRITABLE: bool = false;
    }

    impl<T> Otherwise for Probe<T> {}

    #[test]
    fn invariant_10_documents_hold_secrets_only_sealed() {
        const {
            assert!(!Probe::<Secret>::IS_WRITABLE);
            assert!(!Probe::<Zeroizing<String>>::IS_WRITABLE);
            assert!(!Probe::<RoutingKey>::IS_WRITABLE);
            assert!(!Probe::<PayloadFormat<RoutingKey>>::IS_WRITABLE);
            assert!(!Probe::<Token>::IS_WRITABLE);
            assert!(Probe::<PayloadFormat>::IS_WRITABLE);
            assert!(Probe::<TokenDigest>::IS_WRITABLE);
        }
        let key_id = "dk_1".to_owned();
        let sealed = SealedSecret { key_id, nonce: [0xa5; 12], ciphertext: vec![1, 2, 255] };
        let json = serde_json::to_string(&sealed).expect("serializes");
        assert_eq!(
            json,
            r#"{"key_id":"dk_1","nonce":"a5a5a5a5a5a5a5a5a5a5a5a5","ciphertext":"0102ff"}"#
        );
        let read: serde_json::Value = serde_json::from_str(&json).expect("reads");
        assert!(SealedSecret::HIDDEN_FIELDS.iter().all(|field| read[field].is_string()));
        assert_eq!(serde_json::from_str::<SealedSecret>(&json).expect("reads"), sealed);
        assert_eq!(format!("{sealed:?}"), "SealedSecret(key dk_1)");
    }

    #[test]
    fn a_secret_has_16_to_256_bytes() {
        for (length, valid) in [(0, false), (15, false), (16, true), (256, true), (257, false)] {
            assert_eq!(Secret::new("s".repeat(length)).is_ok(), valid, "{length} bytes");
        }
        assert!(Secret::new("é".repeat(8)).is_ok(), "bytes count, not characters");
    }

    #[test]
    fn an_invisible_character_in_a_secret_is_refused_and_named() {
        let text = "correct horse battery";
        for (wrong, what) in [
            (format!(" {text}"), "begins or ends with a blank"),
            (format!("{text} "), "begins or ends with a blank"),
            (format!("{text}\u{A0}"), "begins or ends with a blank"),
            (format!("\u{3000}{text}"), "begins or ends with a blank"),
            (format!("{text}\n"), "a line break (U+000A)"),
            (format!("{text}\r\n"), "a line break (U+000D)"),
            (format!("{text}\u{2028}{text}"), "a line break (U+2028)"),
            (format!("\t{text}"), "a tab (U+0009)"),
            (format!("{text}\0"), "a control character (U+0000)"),
            (format!("{text}\u{1b}[0m"), "a control character (U+001B)"),
            (format!("{text}\u{85}"), "a control character (U+0085)"),
            (format!("\u{FEFF}{text}"), "a byte order mark (U+FEFF)"),
            (format!("{text}\u{200B}{text}"), "an invisible character (U+200B)"),
            (format!("\u{202E}{text}"), "an invisible character (U+202E)"),
            (format!("{text}\u{3164}"), "an invisible character (U+3164)"),
            (format!("{text}\u{FE00}"), "an invisible character (U+FE00)"),
            // Before the prefix, the secret would no longer be one of Standard Webhooks.
            (format!(" {}", standard(32)), "begins or ends with a blank"),
            (format!("\u{FEFF}{}", standard(32)), "a byte order mark (U+FEFF)"),
        ] {
            let violation = Secret::new(wrong.clone()).expect_err(&wrong);
            assert!(violation.description.contains(what), "{wrong:?}: {}", violation.description);
            assert_eq!(Secret::opened(wrong.clone()).expose(), wrong, "a stored one still works");
        }
        for right in [
            text,
            "a  b c – d ! # ~ \u{A0} e",
            "حصان صحيح بطارية",
            "正確な馬の電池",
            "👩\u{200D}💻 correct",
        ] {
            assert!(Secret::new(right.to_owned()).is_ok(), "{right:?}");
        }
    }

    /// `whsec_` and the base64 of a key of so many bytes.
    fn standard(bytes: usize) -> String {
        with_prefix(&vec![0xa5; bytes]).to_string()
    }

    #[test]
    fn a_generated_secret_is_in_the_form_of_standard_webhooks() {
        let secret = Secret::from_random([0xa5; 32]);
        assert_eq!(secret.expose(), "whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=");
        assert_eq!(*secret.standard_key(), [0xa5; 32]);
        assert_eq!(secret.standard_form().as_str(), secret.expose());
        assert_eq!(Secret::new(secret.expose().to_owned()), Ok(secret));
    }

    #[test]
    fn after_whsec_only_canonical_base64_of_24_to_64_bytes_is_accepted() {
        for (bytes, valid) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(Secret::new(standard(bytes)).is_ok(), valid, "{bytes} bytes");
        }
        let good = standard(32);
        for wrong in [
            good.trim_end_matches('=').to_owned(),
            format!("{good}="),
            format!("{good} "),
            format!("{good}\n"),
            good.replacen('_', "_ ", 1),
            // The last character has bits that belong to no byte.
            good.replace("U=", "V="),
            // base64url, and hexadecimal digits: 64 of them are base64 of 48 bytes, and taken.
            good.replace("paWl", "-_Wl"),
            format!("whsec_{}", "0f".repeat(16) + "0"),
            "whsec_correct horse battery staple".to_owned(),
            "whsec_".to_owned(),
        ] {
            let violation = Secret::new(wrong.clone()).expect_err(&wrong);
            assert!(violation.description.contains("24 to 64 bytes"), "{wrong:?}: {violation:?}");
        }
    }

    #[test]
    fn keys_of_asymmetric_signatures_are_refused_with_what_to_give_instead() {
        for prefix in ["whsk_", "whpk_"] {
            let violation = Secret::new(standard(32).replace("whsec_", prefix));
            let description = violation.expect_err(prefix).description;
            assert!(description.contains(prefix) && description.contains("give whsec_"));
        }
        // These are nobody's prefixes.
        for text in ["WHSEC_correct horse", "whsec-correct horse", "a whsec_correct horse"] {
            assert!(Secret::new(text.to_owned()).is_ok(), "{text}");
        }
    }

    #[test]
    fn any_other_secret_has_a_standard_form_whose_key_is_its_bytes() {
        let secret = Secret::new("correct horse – battery".to_owned()).expect("long enough");
        assert_eq!(secret.standard_form().as_str(), "whsec_Y29ycmVjdCBob3JzZSDigJMgYmF0dGVyeQ==");
        assert_eq!(*secret.standard_key(), secret.expose().as_bytes());
        // From before it was refused.
        let old = Secret::opened("whsec_correct horse battery".to_owned());
        assert_eq!(*old.standard_key(), old.expose().as_bytes());
        let form = Secret::opened(old.standard_form().to_string());
        assert_eq!(form.standard_key(), old.standard_key());
    }
}

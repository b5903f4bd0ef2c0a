//! Secrets: in clear only where a request is signed or made, or an admin is shown one.

use std::fmt;

use zeroize::Zeroizing;

use crate::limits::{MAX_SECRET_BYTES, MIN_SECRET_BYTES};
use crate::violation::Violation;

/// A shared secret in clear. Debug prints nothing of it, and its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret that somebody chose: 16 to 256 bytes of UTF-8.
    pub fn new(text: String) -> Result<Secret, Violation> {
        let text = Zeroizing::new(text);
        if (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&text.len()) {
            return Ok(Secret(text));
        }
        Err(Violation::new(
            "secret",
            format!(
                "is {} bytes; it must be {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}, or empty to have one generated",
                text.len()
            ),
        ))
    }

    /// A generated secret: 64 hex digits.
    pub fn from_random(random: [u8; 32]) -> Secret {
        Secret(Zeroizing::new(hex::encode(random)))
    }

    /// What was once sealed, whatever it is: its rules were checked when it was given.
    pub fn opened(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself. Only for signing, sealing and showing it to an admin.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret as the log and the tables hold it: encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which of the organization's data keys opens it.
    pub key_id: String,
    /// The nonce, never used twice with one key.
    pub nonce: [u8; 12],
    /// The ciphertext and its tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret(key {})", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_10_debug_output_shows_nothing_of_a_secret() {
        let secret = Secret::new("correct horse battery".to_owned()).expect("long enough");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_secret_has_16_to_256_bytes() {
        for (length, valid) in [(0, false), (15, false), (16, true), (256, true), (257, false)] {
            assert_eq!(Secret::new("s".repeat(length)).is_ok(), valid, "{length} bytes");
        }
        assert!(Secret::new("é".repeat(8)).is_ok(), "bytes count, not characters");
    }
}

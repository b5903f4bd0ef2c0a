//! Master keys, under which data keys are wrapped.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::KeyringError;
use crate::encryption::KEY_BYTES;
use crate::limits::MAX_MASTER_KEYS;
use crate::random::random;

/// A master key. Its memory is wiped on drop; its Debug shows its id only.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    id: Arc<str>,
    key: Arc<Zeroizing<[u8; KEY_BYTES]>>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl MasterKey {
    /// A new key.
    pub fn generate() -> MasterKey {
        Self::from_bytes(Zeroizing::new(random()))
    }

    fn from_bytes(key: Zeroizing<[u8; KEY_BYTES]>) -> MasterKey {
        let digest = Sha256::new().chain_update("keeptrusts master key id").chain_update(&key[..]);
        let id = hex::encode(&digest.finalize()[..8]);
        MasterKey { id: id.into(), key: Arc::new(key) }
    }

    /// A key from its 64 hex digits; None if they are not.
    pub(super) fn from_hex(text: &str) -> Option<MasterKey> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text, &mut key[..]).ok()?;
        Some(Self::from_bytes(key))
    }

    /// The 64 hex digits, for a file.
    pub(super) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&self.key[..]))
    }

    /// Identifies the key without revealing anything of it: 16 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

/// Master keys in their order: the first one is to become current, the others only unwrap.
/// At least one, at most [`MAX_MASTER_KEYS`].
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKeys(Arc<[MasterKey]>);

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MasterKeys {
    /// Parses keys: one on a line, or separated by commas; `#` begins a comment. A repeated key counts
    /// once. `place` is how errors call the text.
    pub fn parse(text: &str, place: &str) -> Result<MasterKeys, KeyringError> {
        let mut keys = Vec::<MasterKey>::new();
        for (number, line) in text.lines().enumerate() {
            for part in key_parts(line) {
                let not_a_key =
                    || KeyringError::NotAKey { place: place.to_owned(), line: number + 1 };
                let key = MasterKey::from_hex(part).ok_or_else(not_a_key)?;
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        match keys.len() {
            0 => Err(KeyringError::Empty { place: place.to_owned() }),
            1..=MAX_MASTER_KEYS => Ok(MasterKeys(keys.into())),
            _ => Err(KeyringError::TooMany { place: place.to_owned() }),
        }
    }

    pub fn first(&self) -> &MasterKey {
        &self.0[0]
    }

    pub fn get(&self, id: &str) -> Option<&MasterKey> {
        self.iter().find(|key| key.id() == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        self.0.iter()
    }
}

/// The parts of a line that are keys, or should be.
pub(super) fn key_parts(line: &str) -> impl Iterator<Item = &str> {
    let before_comment = line.split('#').next().unwrap_or_default();
    before_comment.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn ids(text: &str) -> Result<Vec<String>, KeyringError> {
        let keys = MasterKeys::parse(text, "the text")?;
        Ok(keys.iter().map(|key| key.id().to_owned()).collect())
    }

    #[test]
    fn keys_are_read_from_lines_or_between_commas_with_comments() {
        let lines = format!("# the current one\n{TWO} # since May\n\n{ONE}\n{TWO}\n");
        let by_lines = ids(&lines).expect("keys");
        assert_eq!(by_lines.len(), 2, "a key that is there twice counts once");
        assert_eq!(ids(&format!(" {TWO},{ONE},")).expect("keys"), by_lines);
        assert_eq!(ids(&format!("{TWO}\r\n{ONE}")).expect("keys"), by_lines);
        let reversed = ids(&format!("{ONE}\n{TWO}")).expect("keys");
        assert!(reversed.into_iter().rev().eq(by_lines), "the order is kept");
    }

    #[test]
    fn an_invalid_key_is_reported_by_its_line_and_not_shown() {
        let error = ids(&format!("{ONE}\nhorse battery")).expect_err("not a key");
        assert!(error.to_string().starts_with("line 2 of the text is not a master key"), "{error}");
        assert!(!error.to_string().contains("horse"), "{error}");
        assert!(matches!(ids("# nothing\n"), Err(KeyringError::Empty { .. })));
        let short = &ONE[1..];
        assert!(matches!(ids(short), Err(KeyringError::NotAKey { line: 1, .. })));
        let many: Vec<_> = (0..=MAX_MASTER_KEYS).map(|number| format!("{number:064x}")).collect();
        assert!(matches!(ids(&many.join("\n")), Err(KeyringError::TooMany { .. })));
    }

    #[test]
    fn debug_output_shows_ids_only() {
        let keys = MasterKeys::parse(ONE, "the text").expect("a key");
        assert_eq!(format!("{keys:?}"), format!("[MasterKey({})]", keys.first().id()));
        assert_eq!(keys.first().id().len(), 16);
        assert!(!ONE.contains(keys.first().id()));
    }
}

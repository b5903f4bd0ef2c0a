//! Where master keys come from.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::KeyringError;
use super::key_file;
use super::master_keys::MasterKeys;

/// The environment variable that may hold the master keys in the place of a file.
pub const MASTER_KEY_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_MASTER_KEY";

/// A file, or the value of [`MASTER_KEY_VARIABLE`]. Its Debug and Display show no key.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file, which is read again when that is asked for.
    File(PathBuf),
    /// The variable's value: it is what it was when the process was started.
    Environment(Zeroizing<String>),
}

impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterKeySource::File(path) => path.display().fmt(f),
            MasterKeySource::Environment(_) => f.write_str(MASTER_KEY_VARIABLE),
        }
    }
}

impl fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl MasterKeySource {
    /// Reads the keys.
    pub fn load(&self) -> Result<MasterKeys, KeyringError> {
        match self {
            MasterKeySource::File(path) => key_file::load(path),
            MasterKeySource::Environment(text) => MasterKeys::parse(text, MASTER_KEY_VARIABLE),
        }
    }

    /// The same, and makes a file with a first key (mode 0600) if there is none.
    pub fn load_or_create(&self) -> Result<MasterKeys, KeyringError> {
        match self {
            MasterKeySource::File(path) => key_file::load_or_create(path),
            MasterKeySource::Environment(_) => self.load(),
        }
    }
}

//! Where master keys come from.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::KeyringError;
use super::key_file;
use super::master_keys::MasterKeys;
use crate::created_files::CreatedFiles;

/// The environment variable that may hold the master keys instead of a file.
pub const MASTER_KEY_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_MASTER_KEY";

/// A file, or the value of [`MASTER_KEY_VARIABLE`]. Its Debug and Display show no key.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file, which [`Keyring::reload`](super::Keyring::reload) reads again.
    File(PathBuf),
    /// The variable's value when the process started.
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

    /// The same; None if there is no file yet.
    pub(super) fn load_if_exists(&self) -> Result<Option<MasterKeys>, KeyringError> {
        match self.load() {
            Err(KeyringError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            loaded => loaded.map(Some),
        }
    }

    /// Reads the keys; if there is no file, checks that one could be created. For a start that has not
    /// yet opened, and perhaps created, a database. Leaves no file behind.
    pub fn check(&self) -> Result<(), KeyringError> {
        match (self.load_if_exists()?, self) {
            (None, MasterKeySource::File(path)) => key_file::check_place(path),
            _ => Ok(()),
        }
    }

    /// Creates a file with a first key (mode 0600). Dropping the result removes it, unless it is kept.
    pub(super) fn create(&self) -> Result<CreatedFiles, KeyringError> {
        match self {
            MasterKeySource::File(path) => key_file::create(path),
            MasterKeySource::Environment(_) => Ok(CreatedFiles::default()),
        }
    }
}

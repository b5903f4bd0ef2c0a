//! Where master keys come from.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::KeyringError;
use super::key_file;
use super::master_keys::MasterKeys;
use crate::created_files::CreatedFiles;

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

    /// The same, but none if there is no file yet.
    pub(super) fn load_if_there(&self) -> Result<Option<MasterKeys>, KeyringError> {
        match self.load() {
            Err(KeyringError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            loaded => loaded.map(Some),
        }
    }

    /// Reads the keys, or sees whether a file with a first one could be made: before a database is
    /// opened, and perhaps made. Leaves nothing.
    pub fn check(&self) -> Result<(), KeyringError> {
        match (self.load_if_there()?, self) {
            (None, MasterKeySource::File(path)) => key_file::check_place(path),
            _ => Ok(()),
        }
    }

    /// Makes a file with a first key (mode 0600). It is gone again unless what was made is kept.
    pub(super) fn create(&self) -> Result<CreatedFiles, KeyringError> {
        match self {
            MasterKeySource::File(path) => key_file::create(path),
            MasterKeySource::Environment(_) => Ok(CreatedFiles::default()),
        }
    }
}

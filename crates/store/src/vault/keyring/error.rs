//! The errors of keys, each with what to do about it.

use std::io;
use std::path::PathBuf;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::text::escape_hidden;

use crate::error::StoreError;
use crate::limits::MAX_MASTER_KEYS;
use crate::vault::WrappedDataKey;

/// Why there are no usable master keys. Never says anything of a key but its id.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read, made or changed.
    #[error("cannot {action} the master key file {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Others can read the file.
    #[error(
        "the master key file {} can be read by others than its owner (mode {mode:04o}): chmod 600 {}",
        path.display(),
        path.display()
    )]
    Exposed {
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is not a key.
    #[error(
        "line {line} of {place} is not a master key: it must hold 64 hex digits (make one with `openssl rand -hex 32`)"
    )]
    NotAKey {
        /// Which file or variable.
        place: String,
        /// From 1.
        line: usize,
    },
    /// There is no key.
    #[error(
        "there is no master key in {place}: if there is a database already, put those back that it was made with, which nothing replaces; for a new one, make a key with `openssl rand -hex 32`"
    )]
    Empty {
        /// Which file or variable.
        place: String,
    },
    /// There are too many keys.
    #[error(
        "there are more than {MAX_MASTER_KEYS} master keys in {place}: remove those that nothing is wrapped under with `keeptrusts-webhooks rotate-master-key --retire`"
    )]
    TooMany {
        /// Which file or variable.
        place: String,
    },
    /// Both a file and the variable were given.
    #[error(
        "both --master-key-file and KEEPTRUSTS_WEBHOOKS_MASTER_KEY are given: decide for one of them"
    )]
    TwoSources,
    /// The database's secrets were sealed with other keys.
    #[error(
        "the master key in {place} (id {found}) is not the one that this database's secrets are sealed with (id {expected}): use the file that was made with the database, in its newest version"
    )]
    WrongKey {
        /// Which file or variable.
        place: String,
        /// The id of its first key.
        found: String,
        /// The id that the database expects.
        expected: String,
    },
    /// There is no file, and the database has its keys already.
    #[error(
        "there is no master key file {place}, and this database's secrets are sealed with master key {expected}: put the file there that was made with the database, from a backup or another machine, or name it with --master-key-file"
    )]
    Missing {
        /// Which file.
        place: String,
        /// The id of the key that the database expects.
        expected: String,
    },
    /// Another process changes the file.
    #[error(
        "another process changes the master key file {}: wait until it has finished, and try again",
        path.display()
    )]
    FileInUse {
        /// Which file.
        path: PathBuf,
    },
    /// A data key has a problem.
    #[error(transparent)]
    Problem(#[from] KeyProblem),
    /// The database failed.
    #[error("cannot read or write the data keys")]
    Store(#[from] StoreError),
}

impl KeyringError {
    /// Whether the file or the variable with the keys has to be corrected.
    pub fn is_about_the_keys_place(&self) -> bool {
        match self {
            KeyringError::File { .. }
            | KeyringError::Exposed { .. }
            | KeyringError::NotAKey { .. }
            | KeyringError::Empty { .. }
            | KeyringError::TooMany { .. }
            | KeyringError::WrongKey { .. }
            | KeyringError::Missing { .. } => true,
            KeyringError::TwoSources
            | KeyringError::FileInUse { .. }
            | KeyringError::Problem(_)
            | KeyringError::Store(_) => false,
        }
    }

    /// Whether the same call may well succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, KeyringError::Store(error) if error.is_transient())
    }
}

/// Why a secret can be neither opened nor sealed. Only [`KeyProblem::MasterKeysChange`] may pass by
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// The organization was erased.
    #[error("organization {organization} was erased, and the key of its secrets with it")]
    Erased { organization: OrganizationId },
    /// The organization has a secret, but no key.
    #[error(
        "there is no data key of organization {organization}: restore the table data_keys from a backup of this database, or give the endpoint a new secret"
    )]
    NoDataKey { organization: OrganizationId },
    /// The master key is not here.
    #[error(
        "master key {} is not in {place}, and is needed: copy its line from another machine's file or from a backup of the file, then send this process SIGHUP",
        escape_hidden(master_key_id)
    )]
    MasterKeyMissing {
        master_key_id: String,
        /// Which file or variable.
        place: String,
    },
    /// The wrapped key was changed.
    #[error(
        "the data key of organization {organization} is damaged, master key {} does not unwrap it: restore its row of data_keys from a backup, or erase the organization",
        escape_hidden(master_key_id)
    )]
    Damaged {
        organization: OrganizationId,
        /// The master key that it was wrapped under.
        master_key_id: String,
    },
    /// The secret was sealed with another key, for another endpoint, or was changed.
    #[error(
        "the secret was sealed with key {} and cannot be opened: set a new one",
        escape_hidden(key_id)
    )]
    Unreadable {
        /// The key that it names.
        key_id: String,
    },
    /// Other processes replace the master key again and again.
    #[error("the master key changes too fast: try again")]
    MasterKeysChange,
}

impl KeyProblem {
    pub(super) fn damaged(organization: &OrganizationId, key: &WrappedDataKey) -> KeyProblem {
        let (organization, master_key_id) = (organization.clone(), key.master_key_id.clone());
        KeyProblem::Damaged { organization, master_key_id }
    }

    pub(super) fn is_missing_master_key(&self) -> bool {
        matches!(self, KeyProblem::MasterKeyMissing { .. })
    }
}

/// Why a secret was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its key has a problem.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// The database failed.
    #[error("cannot read the data key")]
    Store(#[from] StoreError),
}

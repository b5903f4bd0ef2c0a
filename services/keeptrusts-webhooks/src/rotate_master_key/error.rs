//! Why a rotation fails.

use std::path::PathBuf;

use keeptrusts_webhooks_store::StoreError;
use keeptrusts_webhooks_store::vault::keyring::KeyringError;

use crate::interruption::Interrupted;
use crate::operator::RecordError;

/// Why the master key was not rotated, or not completely.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// There is no file to change.
    #[error(
        "the master keys come from KEEPTRUSTS_WEBHOOKS_MASTER_KEY, which only you can change: --help says how"
    )]
    NoFile,
    /// Other processes would meet a key that they do not know.
    #[error(
        "several processes may use this database, and no new key is prepared in {}: run this with --prepare first; --help tells the whole procedure",
        path.display()
    )]
    NotPrepared { path: PathBuf },
    /// Some data keys are not wrapped under the new master key.
    #[error(
        "{remaining} data keys are not encrypted with the new master key yet: mend what is said above, and run this again"
    )]
    Incomplete { remaining: u64 },
    /// The server does not do its part.
    #[error(
        "{server} has not encrypted all data keys with the new master key: see its log, and whether it reads {}; then run this again",
        path.display()
    )]
    ServerDoesNothing { server: String, path: PathBuf },
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("cannot read the data keys")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the master key is not completely rotated")]
    Interrupted(#[from] Interrupted),
}

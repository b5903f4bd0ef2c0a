//! The master keys of a process: where they come from, and when they are read again.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_store::backoff::{Backoff, retry};
use keeptrusts_webhooks_store::vault::keyring::{
    Keyring, KeyringError, MASTER_KEY_VARIABLE, MasterKeySource,
};
use tokio::sync::watch;

use crate::database::DatabaseFlags;

/// The waits while the database is away.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));

impl DatabaseFlags {
    /// Where the master keys are: in the file that is named, in the environment, or else in
    /// `master.key` in the data folder. An error if both of the first are given.
    pub fn master_key_source(&self) -> Result<MasterKeySource, KeyringError> {
        // Not a flag: command lines are for everybody to see.
        let variable = std::env::var(MASTER_KEY_VARIABLE).ok().filter(|text| !text.is_empty());
        match (&self.master_key_file, variable) {
            (Some(_), Some(_)) => Err(KeyringError::TwoSources),
            (None, Some(text)) => Ok(MasterKeySource::Environment(text.into())),
            (Some(path), None) => Ok(MasterKeySource::File(path.clone())),
            (None, None) => Ok(MasterKeySource::File(self.data_dir.join("master.key"))),
        }
    }
}

/// Reads the master keys again each time that `hangups` changes, and rotates if their first one
/// is new. Returns at once; goes on for as long as the process.
pub fn reload_on_hangup(keyring: Arc<Keyring>, mut hangups: watch::Receiver<u64>) {
    tokio::spawn(async move {
        while hangups.changed().await.is_ok() {
            reload(&keyring).await;
        }
    });
}

async fn reload(keyring: &Keyring) {
    let attempt = || async {
        match keyring.reload().await {
            Err(error) if error.is_transient() => Err(error),
            settled => Ok(settled),
        }
    };
    let note_failure = |error: &KeyringError| {
        tracing::warn!(%error, "cannot read the master keys again yet, waiting");
    };
    match retry(BACKOFF, attempt, note_failure).await {
        Ok(caught_up) => {
            let (current, rewrapped) = (caught_up.current, caught_up.rewrapped);
            tracing::info!(current, rewrapped, "read the master keys again");
        }
        Err(error) => tracing::error!(%error, "the master keys from before stay in use"),
    }
}

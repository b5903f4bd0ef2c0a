//! The source of a process's master keys, and reloading them on SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_store::backoff::{Backoff, retry};
use keeptrusts_webhooks_store::vault::keyring::{
    Keyring, KeyringError, MASTER_KEY_VARIABLE, MasterKeySource,
};
use tokio::sync::watch;

use crate::database::DatabaseFlags;

/// Between attempts while the database is unavailable.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));

impl DatabaseFlags {
    /// The file that --master-key-file names, or the environment variable, or else `master.key` in
    /// the data folder. An error if both of the first are given.
    pub fn master_key_source(&self) -> Result<MasterKeySource, KeyringError> {
        // Not a flag: everybody on the machine can see command lines.
        let variable = std::env::var(MASTER_KEY_VARIABLE).ok().filter(|text| !text.is_empty());
        match (&self.master_key_file, variable) {
            (Some(_), Some(_)) => Err(KeyringError::TwoSources),
            (None, Some(text)) => Ok(MasterKeySource::Environment(text.into())),
            (Some(path), None) => Ok(MasterKeySource::File(path.clone())),
            (None, None) => Ok(MasterKeySource::File(self.data_dir.join("master.key"))),
        }
    }
}

/// Starts a task that reads the master keys again each time `hangups` changes. If the first key is
/// new, data keys are encrypted with it again.
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

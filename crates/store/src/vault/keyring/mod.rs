//! Secrets at rest: sealed with AES-256-GCM, so that neither the log nor a backup of the database
//! shows them.
//!
//! Envelope encryption: a secret is sealed with its organization's data key. The database holds the
//! data key ([`Vault`](crate::Vault)) wrapped under a master key, which it does not hold. So the
//! master key can be replaced without sealing secrets again ([`rotation`]), and erasing one row
//! erases an organization's secrets, although the log never changes.
//!
//! Decision: docs/decisions/secrets-are-sealed-in-envelopes.md

mod data_key;
mod data_key_cache;
mod error;
mod key_file;
mod master_keys;
pub mod rotation;
mod source;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use tokio::time::Instant;

use crate::error::StoreError;
use crate::store::Store;
use crate::vault::{DataKeyCreation, StoredDataKey, WrappedDataKey};
use data_key::DataKey;
use data_key_cache::DataKeyCache;
use rotation::RotationReport;

pub use data_key::SecretOwner;
pub use data_key_cache::{DATA_KEY_LIFETIME, MAX_CACHED_DATA_KEYS};
pub use error::{KeyProblem, KeyringError, SecretError};
pub use key_file::KeyFile;
pub use master_keys::{MasterKey, MasterKeys};
pub use source::{MASTER_KEY_VARIABLE, MasterKeySource};

/// How often creating a data key is attempted while other processes replace the master key.
const MAX_CREATION_ATTEMPTS: usize = 4;

/// Seals and opens secrets. Its Debug shows the ids of the master keys only.
///
/// Unwrapped data keys are cached: at most [`MAX_CACHED_DATA_KEYS`], each for at most
/// [`DATA_KEY_LIFETIME`], which is how long an erased key may still be used.
pub struct Keyring {
    store: Arc<dyn Store>,
    source: MasterKeySource,
    master_keys: RwLock<MasterKeys>,
    cache: Mutex<DataKeyCache>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({:?})", self.master_keys())
    }
}

/// The unwrapped data keys of some organizations, as they were when they were read.
#[derive(Debug, Clone, Default)]
pub struct DataKeys(HashMap<OrganizationId, Result<Arc<DataKey>, KeyProblem>>);

impl Keyring {
    /// Reads the master keys, or creates a first one if there is no file and the database has none.
    /// Checks that they belong to this database, and finishes a rotation that was interrupted.
    pub async fn start(
        store: Arc<dyn Store>,
        source: MasterKeySource,
    ) -> Result<Keyring, KeyringError> {
        let master_keys = match source.load_if_exists()? {
            Some(master_keys) => master_keys,
            None => first_master_keys(store.as_ref(), &source).await?,
        };
        store.claim_master_key(master_keys.first().id()).await?;
        rotation::verify(store.as_ref(), &master_keys, &source).await?;
        let keyring = Keyring {
            store,
            source,
            master_keys: RwLock::new(master_keys),
            cache: Mutex::default(),
        };
        keyring.finish_rotation().await?;
        Ok(keyring)
    }

    /// Reads the master keys again, empties the cache, and rotates if the first key is new. Keys that
    /// do not belong to this database are refused: the previous ones stay in use.
    pub async fn reload(&self) -> Result<RotationReport, KeyringError> {
        let master_keys = self.source.load()?;
        rotation::verify(self.store.as_ref(), &master_keys, &self.source).await?;
        *self.master_keys.write().unwrap_or_else(PoisonError::into_inner) = master_keys;
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = DataKeyCache::default();
        self.finish_rotation().await
    }

    async fn finish_rotation(&self) -> Result<RotationReport, KeyringError> {
        let (store, master_keys) = (self.store.as_ref(), self.master_keys());
        let all = |_| ControlFlow::Continue(());
        let report = rotation::finish_rotation(store, &master_keys, &self.source, &all).await?;
        match report.problems.iter().find(|problem| problem.is_missing_master_key()) {
            Some(missing) => Err(missing.clone().into()),
            None => Ok(report),
        }
    }

    /// Encrypts a secret of an endpoint or a channel. Creates the organization's data key if this is
    /// its first secret. Reads the data key from the database each time, so that nothing is sealed
    /// for an erased organization.
    pub async fn seal(
        &self,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        secret: &Secret,
    ) -> Result<SealedSecret, SecretError> {
        let shard = self.shard_of(organization);
        let organizations = std::slice::from_ref(organization);
        let stored = self.store.data_keys(shard, organizations).await?.remove(organization);
        let stored = match stored {
            Some(stored) => stored,
            None => self.create_data_key(shard, organization).await?,
        };
        let key = self.unwrap_or_reload(organization, &stored)?;
        Ok(key.seal(organization, owner.into(), secret))
    }

    /// Encrypts a secret that replaces `current`. If it is the same secret, the current ciphertext stays:
    /// a request that repeats what is set changes nothing.
    pub async fn seal_changed(
        &self,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        secret: &Secret,
        current: Option<&SealedSecret>,
    ) -> Result<SealedSecret, SecretError> {
        let owner = owner.into();
        let sealed = self.seal(organization, owner, secret).await?;
        Ok(self.unless_same(organization, owner, secret, current, sealed).await)
    }

    /// Like [`seal_changed`](Self::seal_changed), for a request that is only checked: it fails as that
    /// would, but creates no data key. What it returns is not for the log: it may be sealed with a key
    /// that nobody keeps.
    pub async fn seal_for_check(
        &self,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        secret: &Secret,
        current: Option<&SealedSecret>,
    ) -> Result<SealedSecret, SecretError> {
        let owner = owner.into();
        let shard = self.shard_of(organization);
        let organizations = std::slice::from_ref(organization);
        let key = match self.store.data_keys(shard, organizations).await?.remove(organization) {
            Some(stored) => self.unwrap_or_reload(organization, &stored)?,
            None => Arc::new(DataKey::generate()),
        };
        let sealed = key.seal(organization, owner, secret);
        Ok(self.unless_same(organization, owner, secret, current, sealed).await)
    }

    /// The current ciphertext if it is that of the same secret, otherwise the new one.
    async fn unless_same(
        &self,
        organization: &OrganizationId,
        owner: SecretOwner,
        secret: &Secret,
        current: Option<&SealedSecret>,
        sealed: SealedSecret,
    ) -> SealedSecret {
        let Some(current) = current else { return sealed };
        let opened = self.open(organization, owner, current).await;
        // One that cannot be opened is another one.
        let is_same = opened.is_ok_and(|opened| opened == *secret);
        if is_same { current.clone() } else { sealed }
    }

    /// Decrypts a secret of an endpoint or a channel.
    pub async fn open(
        &self,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        sealed: &SealedSecret,
    ) -> Result<Secret, SecretError> {
        let keys = self.data_keys([organization]).await?;
        Ok(keys.open(organization, owner, sealed)?)
    }

    /// The data keys of organizations: from the cache, or with one query for each shard.
    pub async fn data_keys(
        &self,
        organizations: impl IntoIterator<Item = &OrganizationId>,
    ) -> Result<DataKeys, StoreError> {
        let mut keys = DataKeys::default();
        let mut others = HashMap::<Shard, HashSet<OrganizationId>>::new();
        // A key may be erased as soon as it was read, so its lifetime begins before the read.
        let read_time = Instant::now();
        {
            let opened = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for organization in organizations {
                if keys.0.contains_key(organization) {
                    continue;
                }
                match opened.get(organization, read_time) {
                    Some(key) => _ = keys.0.insert(organization.clone(), Ok(key)),
                    None => {
                        let shard = self.shard_of(organization);
                        others.entry(shard).or_default().insert(organization.clone());
                    }
                }
            }
        }
        for (shard, organizations) in others {
            let organizations = Vec::from_iter(organizations);
            let stored = self.store.data_keys(shard, &organizations).await?;
            for organization in organizations {
                let key = match stored.get(&organization) {
                    Some(stored) => self.unwrap_or_reload(&organization, stored),
                    None => Err(KeyProblem::NoDataKey { organization: organization.clone() }),
                };
                if let Ok(key) = &key {
                    let mut opened = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                    opened.put(organization.clone(), Arc::clone(key), read_time);
                }
                keys.0.insert(organization, key);
            }
        }
        Ok(keys)
    }

    /// Creates a data key. Returns what the organization has then: the new key, or one that another
    /// process created first.
    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<StoredDataKey, SecretError> {
        let mut current = self.master_keys().first().id().to_owned();
        for _ in 0..MAX_CREATION_ATTEMPTS {
            let master_key = self.master_key_or_reload(&current)?;
            let key = DataKey::generate().wrapped(organization, &master_key);
            match self.store.create_data_key(shard, organization, &key).await? {
                DataKeyCreation::Has(stored) => return Ok(stored),
                DataKeyCreation::NotCurrent(Some(other)) => current = other,
                DataKeyCreation::NotCurrent(None) => {
                    current = self.store.claim_master_key(&current).await?;
                }
            }
        }
        Err(KeyProblem::MasterKeysChange.into())
    }

    fn unwrap_or_reload(
        &self,
        organization: &OrganizationId,
        stored: &StoredDataKey,
    ) -> Result<Arc<DataKey>, KeyProblem> {
        match stored {
            StoredDataKey::Erased => Err(KeyProblem::Erased { organization: organization.clone() }),
            StoredDataKey::Wrapped(wrapped) => self.unwrap(organization, wrapped).map(Arc::new),
        }
    }

    fn unwrap(
        &self,
        organization: &OrganizationId,
        wrapped: &WrappedDataKey,
    ) -> Result<DataKey, KeyProblem> {
        if !wrapped.names_a_master_key() {
            return Err(KeyProblem::damaged(organization, wrapped));
        }
        let master_key = self.master_key_or_reload(&wrapped.master_key_id)?;
        DataKey::unwrapped(organization, wrapped, &master_key)
    }

    /// A master key. If it is unknown, the file is read again: another process may already use a key
    /// that was added to it. (The file is small, and this is rare.)
    fn master_key_or_reload(&self, id: &str) -> Result<MasterKey, KeyProblem> {
        if let Some(key) = self.master_keys().get(id) {
            return Ok(key.clone());
        }
        let missing = || KeyProblem::MasterKeyMissing {
            master_key_id: id.to_owned(),
            place: self.source.to_string(),
        };
        let read = self.source.load().inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "cannot read the master keys again");
        });
        let read = read.map_err(|_| missing())?;
        let key = read.get(id).cloned().ok_or_else(missing)?;
        *self.master_keys.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(key)
    }

    fn master_keys(&self) -> MasterKeys {
        self.master_keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shard_of(&self, organization: &OrganizationId) -> Shard {
        Shard::of(organization, self.store.shard_count())
    }
}

impl DataKeys {
    /// Decrypts a secret of an endpoint or a channel, if its organization is among these.
    pub fn open(
        &self,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        sealed: &SealedSecret,
    ) -> Result<Secret, KeyProblem> {
        let no_key = || KeyProblem::NoDataKey { organization: organization.clone() };
        let key = self.0.get(organization).ok_or_else(no_key)?;
        key.as_ref().map_err(Clone::clone)?.open(organization, owner.into(), sealed)
    }
}

/// Creates a file with a first key for a database that has none.
async fn first_master_keys(
    store: &dyn Store,
    source: &MasterKeySource,
) -> Result<MasterKeys, KeyringError> {
    if let Some(expected) = store.master_keys().await?.current {
        return Err(KeyringError::Missing { place: source.to_string(), expected });
    }
    let mut created = source.create()?;
    // Read the file again: another process may have created it first.
    let master_keys = source.load()?;
    let claimed = store.claim_master_key(master_keys.first().id()).await;
    // Keep the file also if the outcome is unknown: the database may have the key now.
    if !claimed.as_ref().is_ok_and(|current| master_keys.get(current).is_none()) {
        created.keep();
    }
    let expected = claimed?;
    match master_keys.get(&expected) {
        Some(_) => Ok(master_keys),
        // Another process claimed the key of another file first, perhaps on another machine.
        None => Err(KeyringError::Missing { place: source.to_string(), expected }),
    }
}

#[cfg(test)]
mod tests;

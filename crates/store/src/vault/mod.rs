//! What a database must do for the keys of the secrets.

pub mod keyring;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx_macros::FromRow;

use crate::error::StoreError;

/// The keys of the secrets, beside the log.
///
/// Each organization has one data key, which its secrets are sealed with. The database holds it
/// wrapped under a master key, which it does not hold; it knows master keys by their ids.
///
/// # What every implementation guarantees
///
/// - **One data key.** An organization has none, or one, or it was erased. Of many who create it
///   at once, one does, and all are answered with that one.
/// - **Erased is erased.** An erased data key is not in the table any more, in whatever form, and
///   its organization never gets another.
/// - **Master keys follow one another.** One is current. It can be replaced, and then never
///   becomes current again.
/// - **Nothing is wrapped under a replaced key.** Whether the key that a new data key is wrapped
///   under is current is decided in the transaction that writes it, which a replacement waits
///   for. So once a replacement is committed, the keys under older ones only become fewer.
/// - **Set-based.** A call takes a bounded number of statements, however many keys it is about.
///
/// Nothing of it is a projection: a rebuild leaves it alone.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Records which master key is the first, unless there has been one; answers with the id of
    /// the current one.
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError>;

    /// The master keys that there have been.
    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError>;

    /// Makes `new` current in the place of `current`. False, and nothing happens: `current` is
    /// not current, or `new` has been replaced before.
    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError>;

    /// The data keys of these organizations, erased ones included. Organizations that have had
    /// none are left out.
    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError>;

    /// Gives an organization a data key, if it has had none and if the key is wrapped under the
    /// current master key.
    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError>;

    /// Up to `limit` data keys, by their organizations' ids, above `after`, without those that
    /// are wrapped under the master key `except`. Erased ones are left out.
    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError>;

    /// Puts data keys, wrapped anew, in the place of the same keys as they were wrapped; says how
    /// many. Left alone is what was erased or wrapped anew by somebody else meanwhile. An
    /// organization is in `rewrapped` once at most.
    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError>;

    /// How many data keys are wrapped under which master key. Erased ones do not count.
    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Erases an organization's data key, for ever, whether it has one or not.
    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError>;
}

/// The master keys of a database, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterKeyHistory {
    /// What new data keys are wrapped under. None: no process has been there yet.
    pub current: Option<String>,
    /// Those before it, in no particular order.
    pub replaced: Vec<String>,
}

/// An organization's data key, encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    /// Which key it is.
    pub data_key_id: String,
    /// Which master key unwraps it.
    pub master_key_id: String,
    /// The nonce, never used twice with one master key.
    pub nonce: [u8; 12],
    /// The ciphertext and its tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for WrappedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedDataKey({} under {})", self.data_key_id, self.master_key_id)
    }
}

/// What the database has of an organization's data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredDataKey {
    /// The key.
    Wrapped(WrappedDataKey),
    /// That it was erased.
    Erased,
}

/// What became of a new data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataKeyCreation {
    /// This is what the organization has now: the new key, or what somebody else was faster with.
    Has(StoredDataKey),
    /// Another master key is current, and nothing was written. None: no key has been claimed.
    NotCurrent(Option<String>),
}

/// A data key that was unwrapped and wrapped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrappedDataKey {
    /// Whose.
    pub organization_id: OrganizationId,
    /// Which master key it was wrapped under.
    pub previous_master_key_id: String,
    /// The same key, wrapped under another master key.
    pub key: WrappedDataKey,
}

/// A row of `data_keys`.
#[derive(FromRow)]
pub(crate) struct DataKeyRow {
    organization_id: String,
    data_key_id: Option<String>,
    master_key_id: Option<String>,
    nonce: Option<Vec<u8>>,
    wrapped: Option<Vec<u8>>,
}

impl DataKeyRow {
    /// Whose it is, and what it says.
    pub(crate) fn read(self) -> Result<(OrganizationId, StoredDataKey), StoreError> {
        let organization: OrganizationId =
            self.organization_id.parse().map_err(|_| unreadable(&self.organization_id))?;
        let stored = match (self.data_key_id, self.master_key_id, self.nonce, self.wrapped) {
            (Some(data_key_id), Some(master_key_id), Some(nonce), Some(ciphertext)) => {
                let nonce = nonce.try_into().map_err(|_| unreadable(organization.as_str()))?;
                let key = WrappedDataKey { data_key_id, master_key_id, nonce, ciphertext };
                StoredDataKey::Wrapped(key)
            }
            (_, None, None, None) => StoredDataKey::Erased,
            _ => return Err(unreadable(organization.as_str())),
        };
        Ok((organization, stored))
    }

    /// The same for a row that has a key.
    pub(crate) fn read_wrapped(self) -> Result<(OrganizationId, WrappedDataKey), StoreError> {
        match self.read()? {
            (organization, StoredDataKey::Wrapped(key)) => Ok((organization, key)),
            (organization, StoredDataKey::Erased) => Err(unreadable(organization.as_str())),
        }
    }
}

fn unreadable(organization: &str) -> StoreError {
    StoreError::Unreadable(format!("the data key of organization {organization}"))
}

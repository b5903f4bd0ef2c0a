//! What a backend must do for the keys of the secrets: the specification of the vault.

pub mod keyring;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx_macros::FromRow;

use crate::error::StoreError;
use crate::tables::unreadable;

/// The keys of the secrets, which are not in the log.
///
/// Each organization has one data key, which seals its secrets. The database holds the data key
/// encrypted (wrapped) under a master key. It does not hold master keys, only their ids.
///
/// # What every implementation guarantees
///
/// - **One data key.** An organization has no data key, or one, or an erased one. If many create it
///   at once, one succeeds, and all get that key as the answer.
/// - **Erased for ever.** Nothing of an erased data key is left in the table, and its organization
///   never gets another one.
/// - **Master keys follow one another.** One is current. Once replaced, it never becomes current
///   again.
/// - **Nothing new is wrapped under a replaced key.** The transaction that writes a new data key
///   checks that its master key is current, and a replacement waits for that transaction. So once a
///   replacement is committed, the data keys under older master keys only become fewer.
/// - **Set-based.** A call takes a bounded number of statements, however many keys it is about.
///
/// None of this is a projection: a rebuild leaves it alone.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Makes a master key the first one, unless there has been one. Returns the id of the current
    /// one.
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError>;

    /// All master keys that the database has had.
    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError>;

    /// Makes `new` current instead of `current`. Returns false and changes nothing if `current` is
    /// not current, or if `new` was replaced before.
    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError>;

    /// The data keys of these organizations, erased ones included. Organizations that never had one
    /// are left out.
    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError>;

    /// Gives an organization a data key, if it never had one and if the key is wrapped under the
    /// current master key.
    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError>;

    /// Up to `limit` data keys in the order of their organizations' ids, above `after`. Erased ones,
    /// and those under the master key `except`, are left out.
    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError>;

    /// Replaces wrapped data keys by the same keys under another master key; returns how many. Keys
    /// that were erased or rewrapped meanwhile are left alone. An organization occurs at most once in
    /// `rewrapped`.
    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError>;

    /// The number of data keys under each master key id. Erased ones do not count.
    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Erases an organization's data key for ever. An organization without one never gets one.
    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError>;
}

/// The master keys of a database, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterKeyHistory {
    /// New data keys are wrapped under it. None: no process has claimed one yet.
    pub current: Option<String>,
    /// The ones before it, in no particular order.
    pub replaced: Vec<String>,
}

/// An organization's data key, encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    pub data_key_id: String,
    /// The master key that unwraps it.
    pub master_key_id: String,
    /// Never used twice with one master key. 12 bytes, or the row is damaged.
    pub nonce: Vec<u8>,
    /// The ciphertext and its tag.
    pub ciphertext: Vec<u8>,
}

/// Stands for the id that a damaged row lacks. No master key has it: ids are hex digits.
const NO_MASTER_KEY: &str = "(none)";

impl WrappedDataKey {
    pub(crate) fn names_a_master_key(&self) -> bool {
        self.master_key_id != NO_MASTER_KEY
    }
}

impl fmt::Debug for WrappedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedDataKey({} under {})", self.data_key_id, self.master_key_id)
    }
}

/// An organization's data key as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredDataKey {
    Wrapped(WrappedDataKey),
    Erased,
}

/// The outcome of creating a data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataKeyCreation {
    /// What the organization has now: the new key, or one that another process created first.
    Has(StoredDataKey),
    /// Nothing was written, because another master key is current. None: no key has been claimed.
    NotCurrent(Option<String>),
}

/// A data key that was unwrapped and wrapped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrappedDataKey {
    pub organization_id: OrganizationId,
    /// The master key that it was wrapped under.
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
    /// The organization and its data key. A damaged key is one that no master key unwraps, so that
    /// it is an error of its organization alone.
    pub(crate) fn read(self) -> Result<(OrganizationId, StoredDataKey), StoreError> {
        let organization = self.organization()?;
        let stored = match (self.master_key_id, self.nonce, self.wrapped) {
            (None, None, None) => StoredDataKey::Erased,
            (master_key_id, nonce, wrapped) => StoredDataKey::Wrapped(WrappedDataKey {
                data_key_id: self.data_key_id.unwrap_or_default(),
                master_key_id: master_key_id.unwrap_or_else(|| NO_MASTER_KEY.to_owned()),
                nonce: nonce.unwrap_or_default(),
                ciphertext: wrapped.unwrap_or_default(),
            }),
        };
        Ok((organization, stored))
    }

    /// The same for a row that is known to have a key.
    pub(crate) fn read_wrapped(self) -> Result<(OrganizationId, WrappedDataKey), StoreError> {
        match self.read()? {
            (organization, StoredDataKey::Wrapped(key)) => Ok((organization, key)),
            (organization, StoredDataKey::Erased) => {
                Err(unreadable("the data key of organization", organization))
            }
        }
    }

    fn organization(&self) -> Result<OrganizationId, StoreError> {
        self.organization_id.parse().map_err(|_| {
            let id = format!("{:?}, whose id is none: delete the row", self.organization_id);
            unreadable("data_keys has a row of organization", id)
        })
    }
}

//! The [`Vault`] of the store in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;

use super::{MemoryStore, lock};
use crate::error::StoreError;
use crate::vault::{
    DataKeyCreation, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault, WrappedDataKey,
};

/// Where both locks are needed, the database's is taken first.
#[async_trait]
impl Vault for MemoryStore {
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError> {
        let current = &mut lock(&self.database).master_keys.current;
        Ok(current.get_or_insert_with(|| key_id.to_owned()).clone())
    }

    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError> {
        Ok(lock(&self.database).master_keys.clone())
    }

    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError> {
        let keys = &mut lock(&self.database).master_keys;
        let is_known = keys.replaced.iter().any(|replaced| replaced == new) || current == new;
        if keys.current.as_deref() != Some(current) || is_known {
            return Ok(false);
        }
        keys.replaced.extend(keys.current.replace(new.to_owned()));
        Ok(true)
    }

    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
        let data = self.shard(shard);
        let found = organizations.iter().filter_map(|id| data.data_keys.get_key_value(id));
        Ok(found.map(|(id, stored)| (id.clone(), stored.clone())).collect())
    }

    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError> {
        let database = lock(&self.database);
        let mut data = self.shard(shard);
        if let Some(stored) = data.data_keys.get(organization) {
            return Ok(DataKeyCreation::Has(stored.clone()));
        }
        if database.master_keys.current.as_ref() != Some(&key.master_key_id) {
            return Ok(DataKeyCreation::NotCurrent(database.master_keys.current.clone()));
        }
        let stored = StoredDataKey::Wrapped(key.clone());
        data.data_keys.insert(organization.clone(), stored.clone());
        Ok(DataKeyCreation::Has(stored))
    }

    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError> {
        let data = self.shard(shard);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let wrapped = data.data_keys.range::<OrganizationId, _>((from, Bound::Unbounded));
        let wrapped = wrapped.filter_map(|(id, stored)| match stored {
            StoredDataKey::Wrapped(key) if except != Some(key.master_key_id.as_str()) => {
                Some((id.clone(), key.clone()))
            }
            _ => None,
        });
        Ok(wrapped.take(limit).collect())
    }

    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError> {
        let mut data = self.shard(shard);
        let mut count = 0;
        for RewrappedDataKey { organization_id, previous_master_key_id, key } in rewrapped {
            if let Some(StoredDataKey::Wrapped(stored)) = data.data_keys.get_mut(organization_id)
                && stored.data_key_id == key.data_key_id
                && stored.master_key_id == *previous_master_key_id
            {
                *stored = key.clone();
                count += 1;
            }
        }
        Ok(count)
    }

    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        for stored in self.shard(shard).data_keys.values() {
            if let StoredDataKey::Wrapped(key) = stored {
                *counts.entry(key.master_key_id.clone()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError> {
        self.shard(shard).data_keys.insert(organization.clone(), StoredDataKey::Erased);
        Ok(())
    }
}

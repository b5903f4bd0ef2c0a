//! The keys of the secrets, as one process sees them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::StoreError;
use keeptrusts_webhooks_store::vault::{
    DataKeyCreation, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault, WrappedDataKey,
};

use super::connection::Connection;

#[async_trait]
impl Vault for Connection {
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError> {
        self.call("claim_master_key", self.database().claim_master_key(key_id)).await
    }

    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError> {
        self.call("master_keys", self.database().master_keys()).await
    }

    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError> {
        let work = self.database().replace_master_key(current, new);
        self.call("replace_master_key", work).await
    }

    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
        self.call("data_keys", self.database().data_keys(shard, organizations)).await
    }

    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError> {
        let work = self.database().create_data_key(shard, organization, key);
        self.call("create_data_key", work).await
    }

    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError> {
        let work = self.database().wrapped_data_keys(shard, except, after, limit);
        self.call("wrapped_data_keys", work).await
    }

    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError> {
        self.call("rewrap_data_keys", self.database().rewrap_data_keys(shard, rewrapped)).await
    }

    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError> {
        self.call("count_data_keys", self.database().count_data_keys(shard)).await
    }

    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError> {
        self.call("erase_data_key", self.database().erase_data_key(shard, organization)).await
    }
}

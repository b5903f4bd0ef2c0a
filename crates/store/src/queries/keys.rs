//! Queries of keys, all of which are on [`Shard::OF_KEYS`].

use std::collections::HashMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::Shard;

use super::filters::KeyFilter;
use super::selection::{Comparison, Fixed, Selection};
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::KeyUse;

impl dyn Store + '_ {
    /// The key of a token, valid or not.
    pub async fn key_by_token(&self, token: TokenDigest) -> Result<Option<Key>, StoreError> {
        let key = Selection::new().equal("token_sha256", token.0.to_vec()).limit(1);
        Ok(self.selected(Shard::OF_KEYS, key).await?.pop())
    }

    /// A key, valid or not.
    pub async fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.row(Shard::OF_KEYS, id).await
    }

    /// Keys by id, valid or not, as far as they exist.
    pub async fn keys(&self, ids: &[KeyId]) -> Result<Vec<Key>, StoreError> {
        self.rows(Shard::OF_KEYS, ids).await
    }

    /// An organization's keys, or those of every organization (`*`), newest first, with ids below
    /// `before`.
    pub async fn list_keys(
        &self,
        organization: &OrganizationId,
        filter: KeyFilter,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let index = match filter.sessions {
            Some(_) => "keys_kind",
            None => "keys_organization",
        };
        let keys = Selection::new()
            .by_index(index)
            .equal("organization_id", organization)
            .less("key_id", before)
            .equal_if("is_session", filter.sessions)
            .descending(&["key_id"])
            .limit(limit);
        self.selected(Shard::OF_KEYS, keys).await
    }

    /// The keys and sessions that a key has created, in all organizations, newest first, with ids
    /// below `before`.
    pub async fn keys_made_by(
        &self,
        maker: KeyId,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let keys = Selection::new()
            .by_index("keys_creator")
            .equal("creator", maker)
            .less("key_id", before)
            .descending(&["key_id"])
            .limit(limit);
        self.selected(Shard::OF_KEYS, keys).await
    }

    /// Whether there has ever been an API key.
    pub async fn has_keys(&self) -> Result<bool, StoreError> {
        let keys = Selection::<Key>::new()
            .fixed("is_session", Comparison::Equal, Fixed::Flag(false))
            .limit(1);
        Ok(!self.selected(Shard::OF_KEYS, keys).await?.is_empty())
    }

    /// When these keys were last used, as far as that was noted.
    pub async fn key_uses(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
        let uses = self.rows(Shard::OF_KEYS, ids).await?.into_iter();
        Ok(uses.map(|row: KeyUse| (row.key_id, row.last_use_time)).collect())
    }
}

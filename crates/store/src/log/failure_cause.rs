//! Why a statement on a shard failed that does not fail on a sound one, such as an insert at a
//! position that a record has.

use keeptrusts_webhooks_domain::log::Shard;

use crate::error::StoreError;
use crate::store::Store;

impl dyn Store {
    /// The shard's damage, if a statement failed and the shard is damaged; otherwise the error.
    pub async fn damage_or(&self, shard: Shard, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Failed(_)) {
            return error;
        }
        match self.shard_state(shard).await {
            Err(damage @ StoreError::DamagedLog { .. }) => damage,
            _ => error,
        }
    }
}

//! Counts the data keys under each master key.

use std::collections::BTreeMap;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::{Store, StoreError};

/// How many data keys of the whole database are wrapped under which master key.
pub(super) async fn count_data_keys(
    store: &dyn Store,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    for shard in (0..store.shard_count()).map(Shard) {
        for (id, count) in store.count_data_keys(shard).await? {
            *counts.entry(id).or_default() += count;
        }
    }
    Ok(counts)
}

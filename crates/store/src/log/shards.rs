//! The logs of all shards: the database, and what this process keeps of each in memory.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::log::assessment::{Assessment, assess};
use crate::log::local_shard::LocalShard;
use crate::log::operation::{BodyId, Record};
use crate::log::position_key::PositionKey;
use crate::store::Store;

/// What readers, appenders and probes of a process share.
pub(crate) struct Shards {
    store: Arc<dyn Store>,
    /// In the order of their numbers.
    local: Vec<Arc<LocalShard>>,
}

impl Shards {
    /// Reads the last position of each shard. A damaged one stops no other.
    pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Shards, StoreError> {
        let local = (0..store.shard_count()).map(|_| Arc::new(LocalShard::new())).collect();
        let shards = Shards { store, local };
        for shard in shards.numbers() {
            match shards.read_state(shard).await {
                Ok(()) | Err(StoreError::DamagedLog { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(shards)
    }

    /// Reads a shard's last position, and notes whether the shard is damaged.
    pub(crate) async fn read_state(&self, shard: Shard) -> Result<(), StoreError> {
        let local = self.local(shard);
        match self.store.shard_state(shard).await {
            Ok(state) => {
                if local.set_damaged(false) {
                    tracing::info!(%shard, "the shard's log is no longer damaged");
                }
                local.raise(state.last_position);
                Ok(())
            }
            Err(error) => {
                let is_damage = matches!(error, StoreError::DamagedLog { .. });
                if is_damage && !local.set_damaged(true) {
                    tracing::error!(%shard, %error, "nothing is appended to the shard: restore the database from a backup");
                }
                Err(error)
            }
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.store.shard_count()).map(Shard)
    }

    pub(crate) fn local(&self, shard: Shard) -> &Arc<LocalShard> {
        &self.local[usize::from(shard.0)]
    }

    pub(crate) fn watch(&self, shard: Shard) -> watch::Receiver<Position> {
        self.local(shard).position.subscribe()
    }

    /// Up to `limit` records after a position: from memory if they are there.
    pub(crate) async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let remembered = self.local(shard).tail().read(after, limit);
        match remembered {
            Some(records) => Ok(records),
            None => {
                let records = self.store.read(shard, after, limit).await?;
                Ok(records.into_iter().map(Arc::new).collect())
            }
        }
    }

    pub(crate) async fn position_key(&self, shard: Shard) -> Result<&PositionKey, StoreError> {
        let read = || self.store.position_key(shard);
        self.local(shard).position_key.get_or_try_init(read).await
    }

    /// Bodies that have not expired: from memory if they are there.
    pub(crate) async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        let mut bodies = HashMap::with_capacity(ids.len());
        let mut others = Vec::new();
        {
            let tail = self.local(shard).tail();
            for id in ids {
                match tail.body(*id) {
                    Some(body) => drop(bodies.insert(*id, body)),
                    None => others.push(*id),
                }
            }
        }
        if !others.is_empty() {
            bodies.extend(self.store.bodies(shard, &others).await?);
        }
        Ok(bodies)
    }

    /// What the last writes say of the database.
    pub(crate) fn assess(&self) -> Assessment {
        let states: Vec<_> = self.local.iter().map(|shard| shard.commits.state()).collect();
        assess(&states, self.store.other_writes().failure(), Instant::now())
    }
}

//! The [`Store`] in a file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{KeyId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqlitePool};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::errors::store_error;
use super::leases::{self, Leases};
use super::lock::DatabaseLock;
use super::writer::Writer;
use super::{append, bodies, check, erase, key_uses, log_reads, migrations, rebuild};
use crate::clock::Clock;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::known_shard::KnownShard;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record};
use crate::log::other_writes::OtherWrites;
use crate::store::{
    AppendedBatch, ClusterState, ErasedBodies, Lease, RebuildDifference, ShardState, Store,
    TableVersions,
};

/// The log and its projections, in a file.
pub struct SqliteStore {
    pub(super) shard_count: u16,
    pub(super) clock: Clock,
    pub(super) writer: Writer,
    /// As the writer has left them.
    pub(super) known_shards: Vec<Mutex<KnownShard>>,
    pub(super) readers: SqlitePool,
    /// A check writes into temporary tables, which readers cannot.
    pub(super) check_options: SqliteConnectOptions,
    pub(super) leases: Leases,
    /// Released when the store is closed. None: another process has the lock.
    pub(super) lock: Option<Arc<DatabaseLock>>,
}

#[async_trait]
impl Store for SqliteStore {
    fn shard_count(&self) -> u16 {
        self.shard_count
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError> {
        let mut writer = self.writer.lock().await?;
        let mut known = self.known_shards[usize::from(shard.0)].lock().await;
        let connection = writer.connection()?;
        let appended = append::append(connection, &mut known, &self.clock, shard, operations).await;
        writer.finish_append(appended)
    }

    /// On the writer's connection, after all earlier writes.
    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
        let mut writer = self.writer.lock().await?;
        let connection = writer.connection()?;
        let found = log_reads::find_operations(connection, shard, after, operations).await;
        writer.finish_append(found)
    }

    async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        log_reads::read(&self.readers, shard, after, limit).await
    }

    async fn read_stream(
        &self,
        shard: Shard,
        stream: Stream,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        log_reads::read_stream(&self.readers, shard, stream, after, limit).await
    }

    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError> {
        log_reads::shard_state(&self.readers, shard, (self.clock)()).await
    }

    async fn position_key(&self, shard: Shard) -> Result<PositionKey, StoreError> {
        log_reads::position_key(&self.readers, shard).await
    }

    async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
        let answered = timeout(limit, log_reads::answers(&self.readers)).await;
        answered.map_err(|_| StoreError::Unavailable(DatabaseProblem::Silent.into()))?
    }

    fn other_writes(&self) -> &OtherWrites {
        self.writer.other_writes()
    }

    async fn try_commit(&self, _shard: Shard) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await?;
        let tried = append::try_commit(writer.connection()?).await;
        writer.finish_append(tried)
    }

    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
        None
    }

    fn announce(&self, _shard: Shard, _position: Position) {}

    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        bodies::read(&mut connection, shard, ids, (self.clock)()).await
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        let mut writer = self.writer.lock().await?;
        let now = (self.clock)();
        let deleted = bodies::delete_expired(writer.connection()?, shard, now, limit).await;
        writer.finish(deleted)
    }

    async fn count_events_and_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        erase::count(&self.readers, shard, organization).await
    }

    async fn erase_bodies(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Option<BodyId>,
        limit: usize,
    ) -> Result<ErasedBodies, StoreError> {
        let mut writer = self.writer.lock().await?;
        let erased = erase::bodies(writer.connection()?, shard, organization, after, limit).await;
        writer.finish(erased)
    }

    /// Always granted: the previous owner has ended, or is this process.
    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        _time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut writer = self.writer.lock().await?;
        let begun = leases::next_epoch(writer.connection()?, shard).await;
        // Noted before the writer is released, so that the last one granted is the last one noted.
        let granted = begun.map(|epoch| {
            let lease = Lease { shard, epoch };
            self.leases.grant(owner, lease);
            Some(lease)
        });
        writer.finish(granted)
    }

    async fn renew_lease(&self, lease: Lease, _time_to_live: Duration) -> Result<bool, StoreError> {
        Ok(self.leases.is_current(lease))
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.leases.release(lease);
        Ok(())
    }

    async fn heartbeat(
        &self,
        member: &str,
        _time_to_live: Duration,
    ) -> Result<ClusterState, StoreError> {
        Ok(self.leases.heartbeat(member))
    }

    async fn leave(&self, _member: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        self.writer.check_paths()?;
        migrations::table_versions(&self.readers).await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await?;
        let noted = key_uses::note(writer.connection()?, uses).await;
        writer.finish(noted)
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await?;
        let rebuilt = rebuild::rebuild(writer.connection()?, shard, (self.clock)(), progress).await;
        writer.finish(rebuilt)
    }

    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError> {
        self.writer.check_paths()?;
        let connection = self.check_options.connect().await.map_err(store_error)?;
        check::check(connection, shard, limit, (self.clock)(), progress).await
    }

    /// The writer last: the last connection moves the WAL into the file.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close(self.lock.is_some()).await;
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}

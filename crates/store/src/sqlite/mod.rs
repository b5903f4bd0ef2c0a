//! The embedded database: one file, one process that has it open.
//!
//! One connection writes (`writer`), a few read beside it (WAL mode: readers and the writer
//! never wait for each other), and each has a thread of its own. The files here are sorted by
//! what they do: `append` is the transaction, `load` and `write` are what it reads and
//! writes, `log_reads`, `tables` and `due` are what everybody else reads. `key_uses` and `erase` are
//! about what is beside the log, which another process may administer, too (`beside`).

mod admin;
mod append;
mod beside;
mod check;
mod data_keys;
mod due;
mod erase;
mod errors;
mod holder;
mod key_uses;
mod leases;
mod load;
mod lock;
mod lock_file;
mod log_reads;
mod marks;
mod names;
mod open;
mod place;
mod rebuild;
mod remains;
mod replays;
mod set_statement;
mod tables;
mod wal;
mod write;
mod writer;

#[cfg(test)]
mod tests;

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
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record};
use crate::log::other_writes::OtherWrites;
use crate::store::{
    AppendedBatch, ClusterState, ErasedBodies, Lease, RebuildDifference, ShardState, Store,
    TableVersions,
};

pub use open::{OpenError, SqliteOptions};

use errors::failed;
use leases::Leases;
use lock::DatabaseLock;
use writer::Writer;

/// The log and its projections, in a file.
pub struct SqliteStore {
    shard_count: u16,
    clock: Clock,
    writer: Writer,
    readers: SqlitePool,
    /// A check writes into temporary tables, which readers cannot.
    checking: SqliteConnectOptions,
    leases: Leases,
    /// Until the store is closed. None: another process has it.
    lock: Option<Arc<DatabaseLock>>,
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
        let mut turn = self.writer.turn().await?;
        let appended = append::append(turn.connection()?, &self.clock, shard, operations).await;
        turn.end_of_append(appended)
    }

    /// On the writer's connection, after all that it was told before.
    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
        let mut turn = self.writer.turn().await?;
        let connection = turn.connection()?;
        let found = log_reads::find_operations(connection, shard, after, operations).await;
        turn.end_of_append(found)
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

    async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
        let read = log_reads::shard_state(&self.readers, Shard(0), (self.clock)());
        let answered = timeout(limit, read).await;
        answered.map_err(|_| StoreError::Unavailable(DatabaseProblem::Silent.into()))?.map(drop)
    }

    fn other_writes(&self) -> &OtherWrites {
        self.writer.other_writes()
    }

    async fn try_commit(&self, _shard: Shard) -> Result<(), StoreError> {
        let mut turn = self.writer.turn().await?;
        let tried = append::try_commit(turn.connection()?).await;
        turn.end_of_append(tried)
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
        let mut connection = self.readers.acquire().await.map_err(failed)?;
        log_reads::bodies(&mut connection, shard, ids, (self.clock)()).await
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        let mut turn = self.writer.turn().await?;
        let now = (self.clock)();
        let deleted = admin::delete_expired_bodies(turn.connection()?, shard, now, limit).await;
        turn.end(deleted)
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
        let mut turn = self.writer.turn().await?;
        let erased = erase::bodies(turn.connection()?, shard, organization, after, limit).await;
        turn.end(erased)
    }

    /// Always granted: whoever had it before is gone, or is this process.
    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        _time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut turn = self.writer.turn().await?;
        let begun = admin::next_epoch(turn.connection()?, shard).await;
        // Noted before the turn ends, so that the last one granted is the last one noted.
        let granted = begun.map(|epoch| {
            let lease = Lease { shard, epoch };
            self.leases.grant(owner, lease);
            Some(lease)
        });
        turn.end(granted)
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
        self.writer.check_names()?;
        open::table_versions(&self.readers).await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut turn = self.writer.turn().await?;
        let noted = key_uses::note(turn.connection()?, uses).await;
        turn.end(noted)
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        let mut turn = self.writer.turn().await?;
        let rebuilt = rebuild::rebuild(turn.connection()?, shard, progress).await;
        turn.end(rebuilt)
    }

    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError> {
        self.writer.check_names()?;
        let connection = self.checking.connect().await.map_err(failed)?;
        check::check(connection, shard, limit, progress).await
    }

    /// The writer last: the last connection moves what is in the WAL into the file.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close(self.lock.is_some()).await;
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}

fn number(shard: Shard) -> i64 {
    i64::from(shard.0)
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

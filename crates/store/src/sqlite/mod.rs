//! The embedded database: one file, one process that has it open.
//!
//! One connection writes (`writer`), a few read beside it (WAL mode: readers and the writer
//! never wait for each other), and each has a thread of its own. The files here are sorted by
//! what they do: `append` is the transaction, `load` and `write` are what it reads and
//! writes, `log_reads`, `lists` and `due` are what everybody else reads. `keys` and `erase` are
//! about what is beside the log, which another process may administer, too (`beside`).

mod admin;
mod append;
mod beside;
mod check;
mod data_keys;
mod due;
mod erase;
mod errors;
mod health;
mod holder;
mod incidents;
mod keys;
mod leases;
mod lists;
mod load;
mod lock;
mod lock_file;
mod log_reads;
mod marks;
mod names;
mod notifications;
mod open;
mod pauses;
mod place;
mod rebuild;
mod remains;
mod replays;
mod set_statement;
mod wal;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, KeyId, OperationId, OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplaySelection};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqlitePool};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::log::commits::OtherWrites;
use crate::log::operation::{Appended, BodyId, Operation, Record};
use crate::log::projection::{CountKey, Missed};
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, KeyFilter,
};
use crate::store::{
    AppendedBatch, AttemptSum, DueKey, DuePage, ErasedBodies, Lease, RebuildDifference, ShardState,
    Store, Survey, TableVersions, WaitingEndpoints,
};
use crate::tables::with_owner;
use crate::trouble::Trouble;

pub(crate) use errors::trouble_of;
pub use open::{OpenError, SqliteOptions};

use errors::failed;
use leases::Leases;
use lock::DatabaseLock;
use replays::Search;
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
    ) -> Result<HashMap<OperationId, Appended>, StoreError> {
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
        answered.map_err(|_| StoreError::Unavailable(Trouble::Silent.into()))?.map(drop)
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

    async fn survey(&self, member: &str, _time_to_live: Duration) -> Result<Survey, StoreError> {
        Ok(self.leases.survey(member))
    }

    async fn leave(&self, _member: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn endpoint(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[EndpointId],
    ) -> Result<Vec<Endpoint>, StoreError> {
        load::rows(&self.readers, shard, &with_owner(organization, ids)).await
    }

    async fn list_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EndpointFilter,
        before: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        lists::endpoints(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn shard_endpoints(
        &self,
        shard: Shard,
        after: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        lists::shard_endpoints(&self.readers, shard, after, limit).await
    }

    async fn event(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn list_events(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EventFilter,
        before: EventId,
        limit: usize,
    ) -> Result<Found<Event, EventId>, StoreError> {
        lists::events(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[DeliveryId],
    ) -> Result<Vec<Delivery>, StoreError> {
        load::rows(&self.readers, shard, &with_owner(organization, ids)).await
    }

    async fn list_deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &DeliveryFilter,
        before: DeliveryId,
        limit: usize,
    ) -> Result<Found<Delivery, DeliveryId>, StoreError> {
        lists::deliveries(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn attempt(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn list_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AttemptFilter,
        before: AttemptId,
        limit: usize,
    ) -> Result<Found<Attempt, AttemptId>, StoreError> {
        lists::attempts(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn attempt_counts(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        from_hour: Timestamp,
    ) -> Result<Vec<(CountKey, u64)>, StoreError> {
        lists::attempt_counts(&self.readers, shard, endpoint, from_hour).await
    }

    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError> {
        health::attempt_sums(&self.readers, shard, organization, hours).await
    }

    async fn failing_endpoints(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Failing>, StoreError> {
        health::failing_endpoints(&self.readers, shard, organization).await
    }

    async fn endpoint_pauses(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Pause>, StoreError> {
        pauses::endpoint_pauses(&self.readers, shard, organization).await
    }

    async fn missed_events(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Missed>, StoreError> {
        lists::missed_events(&self.readers, shard, endpoint, after, limit).await
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        due::page(&self.readers, shard, endpoint, after, limit).await
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        due::endpoints(&self.readers, shard).await
    }

    async fn replay(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn list_replays(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        endpoint: Option<EndpointId>,
        before: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        replays::list(&self.readers, shard, organization, endpoint, before, limit).await
    }

    async fn running_replays(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
        after: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        replays::running(&self.readers, shard, organization, after, limit).await
    }

    async fn replay_candidates(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        selection: &ReplaySelection,
        before: Position,
        after: ReplayCursor,
        limit: usize,
    ) -> Result<CandidatePage, StoreError> {
        let now = (self.clock)();
        let search = Search { shard, organization, selection, before, after, limit, now };
        replays::candidates(&self.readers, &search).await
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        self.writer.check_names()?;
        open::table_versions(&self.readers).await
    }

    async fn count_waiting(&self, shard: Shard) -> Result<u64, StoreError> {
        due::count(&self.readers, shard).await
    }

    async fn count_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        keys::count_endpoints(&self.readers, shard, organization).await
    }

    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        before: Position,
        limit: usize,
    ) -> Result<Found<Record, Position>, StoreError> {
        keys::audit_records(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn key_by_token(&self, token: TokenDigest) -> Result<Option<Key>, StoreError> {
        keys::by_token(&self.readers, token).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        load::row(&self.readers, Shard::OF_KEYS, id).await
    }

    async fn list_keys(
        &self,
        organization: &OrganizationId,
        filter: KeyFilter,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        keys::list(&self.readers, organization, filter, before, limit).await
    }

    async fn keys(&self, ids: &[KeyId]) -> Result<Vec<Key>, StoreError> {
        load::rows(&self.readers, Shard::OF_KEYS, ids).await
    }

    async fn keys_made_by(
        &self,
        maker: KeyId,
        before: KeyId,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        keys::made_by(&self.readers, maker, before, limit).await
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        keys::exist(&self.readers).await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut turn = self.writer.turn().await?;
        let noted = keys::note_uses(turn.connection()?, uses).await;
        turn.end(noted)
    }

    async fn key_uses(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
        keys::uses(&self.readers, ids).await
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

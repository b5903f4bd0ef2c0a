//! The log in Postgres: any number of processes on any number of machines.
//!
//! How an append goes, statement by statement, is in `append`; what connections are like, in
//! `session`. Nothing depends on what only a single node can do (sequences across shards,
//! foreign keys, advisory locks after the start), so that the tables can be distributed by
//! shard. Sessions are set up and statements prepared, so a pooler in between must pool
//! sessions, not transactions: see `pooler`.

mod append;
mod check;
mod connector;
mod data_keys;
mod erase;
mod errors;
mod health;
mod hints;
mod incidents;
mod keys;
mod leases;
mod lists;
mod load;
mod notifications;
mod open;
mod pauses;
mod pool;
mod pooler;
mod reads;
mod rebuild;
mod replays;
mod select;
mod session;
mod url;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use errors::trouble_of;

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
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::append::HeldRows;
use self::connector::{Connector, SessionLimits};
use self::hints::Hints;
pub use self::open::{InvalidUrl, OpenError};
use self::pool::Pool;
use self::replays::Search;
use crate::error::StoreError;
use crate::log::commits::OtherWrites;
use crate::log::operation::{Appended, BodyId, Operation, Record};
use crate::log::projection::{CountKey, Missed};
use crate::opening::Opening;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, KeyFilter,
};
use crate::store::{
    AppendedBatch, AttemptSum, DueKey, DuePage, ErasedBodies, Lease, RebuildDifference, ShardState,
    Store, Survey, TableVersions, WaitingEndpoints,
};
use crate::tables::with_owner;

/// How long closing waits for connections that are in use.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How a process uses the database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// How many connections it has at most; at least [`MIN_CONNECTIONS`]. They are made when they
    /// are needed.
    pub connections: u32,
    /// How long a statement may take, and how long a session may stop in the middle of a
    /// transaction. A connection that is cut without a word is found a second later at most.
    pub statement_timeout: Duration,
    /// What the process is called in `pg_stat_activity`, unless the URL says.
    pub application_name: String,
}

/// The fewest connections that a process can work with: one of each kind.
pub const MIN_CONNECTIONS: u32 = hints::CONNECTIONS + 3;

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            connections: 10,
            statement_timeout: Duration::from_secs(5),
            application_name: "keeptrusts-webhooks".to_owned(),
        }
    }
}

/// How many connections of a process are for what, beside those for hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    /// For lease work, which waits for nothing else. Made by dispatch processes only.
    leases: u32,
    /// Those that write. Each works on one shard at a time.
    writers: u32,
    /// Those that only read. Apart from those that write, so that a flood of queries keeps no
    /// append waiting.
    readers: u32,
}

impl Shares {
    fn of(connections: u32) -> Shares {
        let connections = connections.max(MIN_CONNECTIONS) - hints::CONNECTIONS;
        let leases = if connections < 6 { 1 } else { 2 };
        let writers = (connections - leases) / 2;
        Shares { leases, writers, readers: connections - leases - writers }
    }
}

/// A store in a Postgres database.
pub struct PostgresStore {
    connector: Arc<Connector>,
    shard_count: u16,
    leases: Pool,
    writers: Pool,
    readers: Pool,
    held_rows: HeldRows,
    hints: Hints,
}

impl PostgresStore {
    /// Opens a database, and brings it up to date first: any number of processes may start at
    /// once. Must be called within a tokio runtime.
    ///
    /// The URL is as Postgres' own clients have it (`postgres://user:password@host:port/database`,
    /// with several hosts for a database that fails over); `sslmode` and `sslrootcert` say how the
    /// connection is encrypted. Commits are only durable if the server runs with `fsync`, as it
    /// does unless told otherwise; `synchronous_commit` is set here. Once open, the store outlives
    /// restarts and failovers of the server: calls fail with [`StoreError::Unavailable`] meanwhile.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<PostgresStore, OpenError> {
        Self::open_as(Opening::Make, url, options).await
    }

    /// The same, but tables that are not there need not be made.
    pub async fn open_as(
        opening: Opening,
        url: &str,
        options: PostgresOptions,
    ) -> Result<PostgresStore, OpenError> {
        let hosts = url::parse(url)?.into_iter().map(|host| match host.get_application_name() {
            Some(_) => host,
            None => host.application_name(&options.application_name),
        });
        let connector = Arc::new(Connector::new(hosts.collect()));
        let limits = SessionLimits::of(options.statement_timeout);
        let shard_count = open::prepare(&connector, &limits, opening).await?;
        let Shares { leases, writers, readers } = Shares::of(options.connections);
        let pool = |limits, size| Pool::new(Arc::clone(&connector), limits, size);
        Ok(PostgresStore {
            shard_count,
            leases: pool(leases::session_limits(options.statement_timeout), leases),
            writers: pool(limits, writers),
            readers: pool(limits, readers),
            held_rows: HeldRows::new(shard_count),
            hints: Hints::start(Arc::clone(&connector), limits, shard_count),
            connector,
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn shard_count(&self) -> u16 {
        self.shard_count
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError> {
        append::append(&self.writers, &self.held_rows, shard, operations).await
    }

    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, Appended>, StoreError> {
        append::find_operations(&self.writers, &self.held_rows, shard, after, operations).await
    }

    async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        reads::read(&self.readers, shard, after, limit).await
    }

    async fn read_stream(
        &self,
        shard: Shard,
        stream: Stream,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        reads::read_stream(&self.readers, shard, stream, after, limit).await
    }

    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError> {
        reads::shard_state(&self.readers, shard).await
    }

    async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
        reads::answers(&self.readers, limit).await
    }

    fn other_writes(&self) -> &OtherWrites {
        self.connector.other_writes()
    }

    async fn try_commit(&self, shard: Shard) -> Result<(), StoreError> {
        append::try_commit(&self.writers, shard).await
    }

    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>> {
        self.hints.take()
    }

    fn announce(&self, shard: Shard, position: Position) {
        self.hints.announce(shard, position);
    }

    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        reads::bodies(&self.readers, shard, ids).await
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        reads::delete_expired_bodies(&self.writers, shard, limit).await
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
        erase::bodies(&self.writers, shard, organization, after, limit).await
    }

    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        leases::acquire(&self.leases, shard, owner, time_to_live).await
    }

    async fn renew_lease(&self, lease: Lease, time_to_live: Duration) -> Result<bool, StoreError> {
        leases::renew(&self.leases, lease, time_to_live).await
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        leases::release(&self.leases, lease).await
    }

    async fn survey(&self, member: &str, time_to_live: Duration) -> Result<Survey, StoreError> {
        leases::survey(&self.leases, member, time_to_live).await
    }

    async fn leave(&self, member: &str) -> Result<(), StoreError> {
        leases::leave(&self.leases, member).await
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
        lists::list_endpoints(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn shard_endpoints(
        &self,
        shard: Shard,
        after: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        reads::shard_endpoints(&self.readers, shard, after, limit).await
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
        lists::list_events(&self.readers, shard, organization, filter, before, limit).await
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
        lists::list_deliveries(&self.readers, shard, organization, filter, before, limit).await
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
        lists::list_attempts(&self.readers, shard, organization, filter, before, limit).await
    }

    async fn attempt_counts(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        from_hour: Timestamp,
    ) -> Result<Vec<(CountKey, u64)>, StoreError> {
        reads::attempt_counts(&self.readers, shard, endpoint, from_hour).await
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
        reads::missed_events(&self.readers, shard, endpoint, after, limit).await
    }

    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        reads::due_deliveries(&self.readers, shard, endpoint, after, limit).await
    }

    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError> {
        reads::waiting_endpoints(&self.readers, shard).await
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
        let search = Search { shard, organization, selection, before, after, limit };
        replays::candidates(&self.readers, &search).await
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        reads::table_versions(&self.readers).await
    }

    async fn count_waiting(&self, shard: Shard) -> Result<u64, StoreError> {
        reads::count_waiting(&self.readers, shard).await
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
        keys::note_uses(&self.writers, uses).await
    }

    async fn key_uses(&self, ids: &[KeyId]) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
        keys::uses(&self.readers, ids).await
    }

    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError> {
        rebuild::rebuild(&self.writers, &self.readers, shard, progress).await
    }

    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError> {
        check::check(&self.connector, &self.readers, shard, limit, progress).await
    }

    async fn close(&self) {
        let closed = async {
            self.hints.stop().await;
            tokio::join!(self.leases.close(), self.writers.close(), self.readers.close());
        };
        if timeout(CLOSE_LIMIT, closed).await.is_err() {
            tracing::warn!("gave up on connections to Postgres that do not end");
        }
    }
}

//! The [`Store`] in a Postgres database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{KeyId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::append::RememberedShards;
use super::connector::Connector;
use super::contended_rows::ContendedRows;
use super::hints::{self, Hints};
use super::open_error::OpenError;
use super::pool::Pool;
use super::session_limits::SessionLimits;
use super::{
    append, bodies, check, erase, key_uses, leases, log_reads, migrations, open, rebuild, url,
};
use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record};
use crate::log::other_writes::OtherWrites;
use crate::open_mode::OpenMode;
use crate::store::{
    AppendedBatch, ClusterState, ErasedBodies, Lease, RebuildDifference, ShardState, Store,
    TableVersions,
};

/// How long closing waits for connections that are in use.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How a process uses the database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The most connections that it makes, at least [`MIN_CONNECTIONS`]. They are made when they are
    /// needed.
    pub connections: u32,
    /// How long a statement may take, and how long a session may be idle in a transaction. A
    /// connection that was cut silently is noticed a second later at most.
    pub statement_timeout: Duration,
    /// The process's name in `pg_stat_activity`, unless the URL has one.
    pub application_name: String,
}

/// The fewest connections that a process can work with: those for hints, and one of each other
/// kind.
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

/// How the connections of a process are divided, apart from those for hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    /// For lease work, which waits for nothing else. Only dispatch processes make them.
    leases: u32,
    /// Those that write. Each works on one shard at a time.
    writers: u32,
    /// Those that only read, so that a flood of queries delays no append.
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

pub struct PostgresStore {
    connector: Arc<Connector>,
    shard_count: u16,
    pub(super) leases: Pool,
    pub(super) writers: Pool,
    pub(super) readers: Pool,
    contended_rows: ContendedRows,
    remembered_shards: RememberedShards,
    hints: Hints,
}

impl PostgresStore {
    /// Opens a database and migrates it. Any number of processes may start at once. Must be called
    /// within a tokio runtime.
    ///
    /// The URL has the form of libpq (`postgres://user:password@host:port/database`, with several
    /// hosts for a database that fails over); `sslmode` and `sslrootcert` say how the connection is
    /// encrypted. Commits are only durable if the server runs with `fsync`, which is its default;
    /// `synchronous_commit` is set here. An open store survives restarts and failovers of the
    /// server: calls fail with [`StoreError::Unavailable`] meanwhile.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<PostgresStore, OpenError> {
        Self::open_as(OpenMode::Create, url, options).await
    }

    /// Opens a database, and creates or changes only what `mode` allows.
    pub async fn open_as(
        mode: OpenMode,
        url: &str,
        options: PostgresOptions,
    ) -> Result<PostgresStore, OpenError> {
        let hosts = url::parse(url)?.into_iter().map(|host| match host.get_application_name() {
            Some(_) => host,
            None => host.application_name(&options.application_name),
        });
        let connector = Arc::new(Connector::new(hosts.collect()));
        let limits = SessionLimits::of(options.statement_timeout);
        let shard_count = open::prepare(&connector, &limits, mode).await?;
        let Shares { leases, writers, readers } = Shares::of(options.connections);
        let pool = |limits, size| Pool::new(Arc::clone(&connector), limits, size);
        Ok(PostgresStore {
            shard_count,
            leases: pool(leases::session_limits(options.statement_timeout), leases),
            writers: pool(limits, writers),
            readers: pool(limits, readers),
            contended_rows: ContendedRows::new(shard_count),
            remembered_shards: RememberedShards::new(shard_count),
            hints: Hints::start(Arc::clone(&connector), limits, shard_count),
            connector,
        })
    }

    /// As if the database's clock had been set back, or forward, by so much.
    #[cfg(test)]
    pub(super) async fn shift_remembered_clocks(&self, micros: i64) {
        self.remembered_shards.shift_clocks(micros).await;
    }

    /// Makes the next appends begin with reading their shards.
    #[cfg(test)]
    pub(super) async fn forget_shards(&self) {
        self.remembered_shards.forget().await;
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
        let (contended, remembered) = (&self.contended_rows, &self.remembered_shards);
        append::append(&self.writers, contended, remembered, shard, operations).await
    }

    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
        append::find_operations(&self.writers, &self.contended_rows, shard, after, operations).await
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
        log_reads::shard_state(&self.readers, shard).await
    }

    async fn position_key(&self, shard: Shard) -> Result<PositionKey, StoreError> {
        log_reads::position_key(&self.readers, shard).await
    }

    async fn answers(&self, limit: Duration) -> Result<(), StoreError> {
        log_reads::answers(&self.readers, limit).await
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
        bodies::read(&self.readers, shard, ids).await
    }

    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError> {
        bodies::delete_expired(&self.writers, shard, limit).await
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

    async fn heartbeat(
        &self,
        member: &str,
        time_to_live: Duration,
    ) -> Result<ClusterState, StoreError> {
        leases::heartbeat(&self.leases, member, time_to_live).await
    }

    async fn leave(&self, member: &str) -> Result<(), StoreError> {
        leases::leave(&self.leases, member).await
    }

    async fn table_versions(&self) -> Result<TableVersions, StoreError> {
        migrations::table_versions(&self.readers).await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        key_uses::note(&self.writers, uses).await
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

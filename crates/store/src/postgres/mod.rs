//! The log in Postgres: any number of processes on any number of machines.
//!
//! How an append goes, statement by statement, is in `append`; what connections are like, in
//! `session`. Nothing depends on what only a single node can do (sequences across shards,
//! foreign keys, advisory locks after the start), so that the tables can be distributed by
//! shard. Sessions are set up and statements prepared, so a pooler in between must pool
//! sessions, not transactions: see `pooler`.
//!
//! Decision: docs/decisions/every-key-begins-with-the-shard.md

mod append;
mod check;
mod connector;
mod data_keys;
mod due;
mod erase;
mod errors;
mod hints;
mod key_uses;
mod leases;
mod load;
mod open;
mod pool;
mod pooler;
mod reads;
mod rebuild;
mod replays;
mod select;
mod session;
mod tables;
mod url;
mod write;

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
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::append::HeldRows;
use self::connector::{Connector, SessionLimits};
use self::hints::Hints;
pub use self::open::{InvalidUrl, OpenError};
use self::pool::Pool;
use crate::error::StoreError;
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
        Self::open_as(OpenMode::Create, url, options).await
    }

    /// The same, but tables that are not there need not be made.
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
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
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
        reads::table_versions(&self.readers).await
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

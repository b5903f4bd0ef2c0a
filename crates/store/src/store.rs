//! What a backend must do: the specification that memory, SQLite and Postgres are held to.
//!
//! Decision: docs/decisions/a-lease-outlasts-a-stepped-database-clock.md

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, KeyId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record, Refusal};
use crate::log::other_writes::OtherWrites;
use crate::queries::filters::AuditFilter;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::selection::{ErasedSelection, Extreme};
use crate::tables::{Keys, Rows};
use crate::vault::Vault;

/// The log in a database, its projections ([`Tables`]) and the keys of its secrets ([`Vault`]).
///
/// ```text
///            checkpoint: acted on up to here        last position
///                 v                                       v
///   1   2   3  …  57  58  59  60  61  62  63  64  65  …  91 | 92: the next batch
///   ^ records never change              ^ readers see a prefix: never 65 without 64
/// ```
///
/// # What every implementation guarantees
///
/// - **One transaction.** [`append`](Store::append) writes the records, the bodies and every
///   change of the projections of a batch in one transaction, and returns after it is durable
///   (fsync). A crash at any moment leaves all of the batch or nothing.
/// - **Gapless, totally ordered positions.** The transaction first locks the shard's row, so
///   that the batches of a shard, from all processes, happen one after the other. Positions
///   are 1, 2, 3, …; a reader that sees position p sees every position below it.
/// - **Refusals are local.** A refused operation leaves no trace and takes no position; the others
///   of its batch are appended as if it had not been there.
/// - **Fencing.** An operation with a fence is refused unless the fence is the shard's epoch.
///   The epoch grows with every [`acquire_lease`](Store::acquire_lease) that succeeds, and never
///   shrinks.
/// - **The database's clock** decides whether a lease has expired, so that machines whose clocks
///   differ cannot both own a shard. It also gives the times of records.
/// - **Projections are a fold.** The tables hold what [`crate::log::projection`] makes of the
///   records, and [`rebuild`](Store::rebuild) makes the same again.
/// - **Set-based.** A batch takes a bounded number of statements, whatever its size.
/// - **Errors say what the caller can do**: see [`StoreError`]. After every error but
///   [`StoreError::Unknown`], nothing was changed.
///
/// # What callers do
///
/// - They append through [`crate::Log`], which groups operations and looks up lost answers.
/// - They never put two records of one stream into one operation.
/// - They name shards below [`shard_count`](Store::shard_count) only.
/// - They may drop the future of a call. The database stays consistent, but whether the call took
///   effect is then unknown; [`find_operations`](Store::find_operations) tells.
#[async_trait]
pub trait Store: Tables + Vault {
    /// How many shards there are: at least 1, fixed when the database was created.
    fn shard_count(&self) -> u16;

    /// Whether other processes may use the same database. If not, leases never expire and need no
    /// renewal.
    fn is_shared(&self) -> bool;

    /// Checks that the database answers a query within `limit`. The error says what prevented it.
    async fn answers(&self, limit: Duration) -> Result<(), StoreError>;

    // --- the log ---

    /// Appends a batch: at most [`MAX_BATCH_OPERATIONS`](crate::limits::MAX_BATCH_OPERATIONS)
    /// operations, judged one after the other by [`plan`](crate::log::plan::plan). If a statement
    /// fails, the whole batch fails.
    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError>;

    /// Which of these operations are in the log after a position. Waits for appends that are under
    /// way, so that the answer is final for every operation that was sent before.
    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError>;

    /// Up to `limit` records after a position, in order. A gap is an error
    /// ([`StoreError::DamagedLog`]).
    async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Up to `limit` records of one stream after a version, in order.
    async fn read_stream(
        &self,
        shard: Shard,
        stream: Stream,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Positions, epoch and steady clock of a shard. Impossible ones are an error
    /// ([`StoreError::DamagedLog`]).
    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError>;

    /// The key that encrypts a shard's positions for clients: random, a different one for each shard, and
    /// always the same.
    async fn position_key(&self, shard: Shard) -> Result<PositionKey, StoreError>;

    /// Positions of shards as other processes announce them. Announcements may be lost. Can be
    /// taken once; None if there are no other processes.
    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>>;

    /// Announces a position to other processes. Must not fail or block; may lose it.
    fn announce(&self, shard: Shard, position: Position);

    /// Commits a write that changes nothing, as durably as an append, to find out whether appends
    /// to the shard can be committed again.
    async fn try_commit(&self, shard: Shard) -> Result<(), StoreError>;

    /// The outcomes of writes that are not appends (leases, keys). The store notes each of them when
    /// it ends, except [`try_commit`](Store::try_commit).
    fn other_writes(&self) -> &OtherWrites;

    // --- bodies ---

    /// Those of these bodies that exist and have not expired by the database's clock.
    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError>;

    /// Deletes up to `limit` bodies that have expired by the database's clock; returns how many.
    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError>;

    /// How many events and attempts an organization has: what [`Store::erase_bodies`] examines in
    /// all.
    async fn count_events_and_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError>;

    /// Deletes the bodies of up to `limit` of an organization's events and attempts, expired or not:
    /// in the order of their ids, above `after`.
    async fn erase_bodies(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Option<BodyId>,
        limit: usize,
    ) -> Result<ErasedBodies, StoreError>;

    // --- leases ---

    /// Takes the shard's lease, with a new epoch. None: somebody holds it. `owner` names a process.
    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Makes a lease last `time_to_live` from now. False: it has passed to another owner. A lease
    /// that expired, but that nobody took, is renewed.
    async fn renew_lease(&self, lease: Lease, time_to_live: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back. Nothing happens if it has passed to another owner.
    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError>;

    /// Reports a dispatch process as alive for `time_to_live`; returns which processes are alive and
    /// who holds which shard. A process that would be alive for more than ten times as long
    /// reported before the database's clock was set back, and is left out until it reports again.
    async fn heartbeat(
        &self,
        member: &str,
        time_to_live: Duration,
    ) -> Result<ClusterState, StoreError>;

    /// Takes a dispatch process off the list of processes that are alive.
    async fn leave(&self, member: &str) -> Result<(), StoreError>;

    // --- administration ---

    /// Notes when keys were used. A time before the noted one changes nothing.
    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;

    /// Drops the shard's projections and folds them from the log again, in one transaction, for
    /// which appends wait. `progress` gets the position up to which records were folded. If the
    /// future is dropped, nothing changes. Documents of a newer version, which would lose their new
    /// fields, are refused ([`StoreError::Newer`]), and so is a damaged log
    /// ([`StoreError::DamagedLog`]).
    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError>;

    /// Folds the log into temporary tables and compares them, row by row, with the stored ones;
    /// documents by their entities, whatever their text. Changes nothing. Returns at most `limit`
    /// differences. A damaged log cannot be compared ([`StoreError::DamagedLog`]).
    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError>;

    /// Which migrations were applied, and which this program needs.
    async fn table_versions(&self) -> Result<TableVersions, StoreError>;

    /// Closes every connection. Calls after that fail.
    async fn close(&self);
}

/// Reading the tables. Queries are methods of [`dyn Store`](Store) in [`crate::queries`], written
/// once for all backends; these are the primitives that they use.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// The rows of a selection.
    async fn select(&self, shard: Shard, selection: &ErasedSelection) -> Result<Rows, StoreError>;

    /// The rows with these keys, as far as they exist, in no order.
    async fn look_up(&self, shard: Shard, keys: &Keys<'_>) -> Result<Rows, StoreError>;

    /// How many rows meet a selection's conditions, whatever its limit.
    async fn count(&self, shard: Shard, selection: &ErasedSelection) -> Result<u64, StoreError>;

    /// Groups the rows of a selection by a column of text. Returns each group's value and its least
    /// or greatest number.
    async fn grouped(
        &self,
        shard: Shard,
        selection: &ErasedSelection,
        group: &'static str,
        extreme: Extreme,
    ) -> Result<Vec<(String, i64)>, StoreError>;

    /// The records of an organization's audit trail that match, newest first. `range` is a position
    /// that they are below, and one that they are not below.
    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        range: (Position, Option<Position>),
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The attempts at all of an organization's endpoints, deleted ones included, summed over the
    /// hours that begin in `hours`.
    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError>;

    /// The deliveries of an endpoint that wait for an attempt, in the order of [`DueKey`], above
    /// `after`. The page and its `as_of` are of one snapshot.
    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError>;

    /// Every endpoint with waiting deliveries, and when the first of them is due. The list and its
    /// `as_of` are of one snapshot.
    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError>;

    /// Examines the next `limit` missed events, failed attempts or events of an endpoint behind a
    /// cursor, in the cursor's order. Returns those that the replay covers, and where the examined
    /// ones end. Only events that were accepted below the position `before` count. The time it takes
    /// depends on `limit`, not on how many are covered.
    async fn replay_candidates(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        selection: &ReplaySelection,
        before: Position,
        after: ReplayCursor,
        limit: usize,
    ) -> Result<CandidatePage, StoreError>;
}

/// The outcome of a batch.
#[derive(Debug, Default)]
pub struct AppendedBatch {
    /// For each operation, in their order.
    pub results: Vec<Result<AppendOutcome, Refusal>>,
    /// The records that were appended, in order.
    pub records: Vec<Record>,
}

/// The state of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardState {
    /// The last record's position.
    pub last_position: Position,
    /// The last record that the owner has acted on.
    pub checkpoint: Position,
    /// The current owner's epoch.
    pub epoch: Epoch,
    /// The time of the shard's steady clock. None: no owner has written one.
    pub steady: Option<SteadyTime>,
}

/// The newest recorded time of a shard's steady clock: the greatest `steady_time` of its records'
/// metadata. Waits are measured by this clock ([`Delivery::due_time`]). The shard's next owner
/// continues it from here, so that nothing waits longer than was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteadyTime {
    pub time: Timestamp,
    /// How long ago it was written, by the database's clock; zero if that was set back since.
    pub age: Duration,
}

/// A step of erasing an organization's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedBodies {
    /// How many events or attempts were examined.
    pub examined: usize,
    /// How many bodies were deleted.
    pub deleted: usize,
    /// What the next step continues after. None: there is nothing left.
    pub next: Option<BodyId>,
}

/// The right to work on a shard, until it expires or passes to another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub shard: Shard,
    /// The fence of the owner's operations.
    pub epoch: Epoch,
}

/// Which dispatch processes are alive, and who holds which shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The dispatch processes that are alive, the reporting one included, sorted.
    pub members: Vec<String>,
    /// One for each shard, in order.
    pub shards: Vec<ShardLease>,
}

/// Who holds a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLease {
    pub shard: Shard,
    /// Who took it and has not given it back, expired or not.
    pub owner: Option<String>,
    /// The epoch of its lease. None: there is no owner.
    pub epoch: Option<Epoch>,
    /// How long the lease still lasts, by the database's clock. Zero if it has expired or there
    /// is no owner; `Duration::MAX` on a store that is not shared, whose leases never expire.
    pub expires_in: Duration,
}

impl ShardLease {
    /// Whether the shard can be taken now.
    pub fn is_free(&self) -> bool {
        self.owner.is_none() || self.expires_in.is_zero()
    }
}

/// The order in which an endpoint's deliveries are due: by time, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKey {
    pub due_time: Timestamp,
    pub delivery_id: DeliveryId,
}

impl DueKey {
    /// Before every delivery.
    pub const MIN: DueKey = DueKey { due_time: Timestamp::MIN, delivery_id: DeliveryId::MIN };
}

/// Deliveries of one endpoint that wait for an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePage {
    /// The shard's last position in the snapshot that the page was read from: the page shows the
    /// changes of records up to there, and of no later ones.
    pub as_of: Position,
    /// In the order of their [`DueKey`]s.
    pub deliveries: Vec<Delivery>,
}

/// The endpoints of a shard that deliveries wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEndpoints {
    /// The shard's last position in the snapshot that the list was read from.
    pub as_of: Position,
    /// Each with the earliest time that a delivery is due.
    pub endpoints: Vec<(EndpointId, Timestamp)>,
}

/// The numbers of the newest migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableVersions {
    /// What the database has.
    pub found: i64,
    /// What the program was built with.
    pub needed: i64,
}

/// Attempts at one endpoint with one outcome and about one duration, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptSum {
    pub endpoint_id: EndpointId,
    pub outcome: AttemptOutcome,
    /// How long they took; see [`crate::durations`].
    pub duration_bucket: u16,
    pub count: u64,
}

/// A row that differs from what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildDifference {
    pub table: &'static str,
    /// The stored row; None if it is missing.
    pub stored: Option<String>,
    /// The row that the log gives; None if there should be none.
    pub rebuilt: Option<String>,
}

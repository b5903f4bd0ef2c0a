//! What a database must do for us.
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
use crate::log::commits::OtherWrites;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record, Refusal};
use crate::queries::filters::AuditFilter;
use crate::queries::replay_candidates::CandidatePage;
use crate::queries::selection::{ErasedSelection, Extreme};
use crate::tables::{Keys, Rows};
use crate::vault::Vault;

/// The log, in a database; its projections as [`Tables`]; and, as a [`Vault`], the keys of its
/// secrets.
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
///   change of the projections of a batch in one transaction, and answers after it is durable
///   (fsync). A crash at any moment leaves all of the batch or nothing.
/// - **Gapless, totally ordered positions.** The transaction first locks the shard's row, so
///   that batches of a shard, from whatever process, happen one after the other. Positions
///   are 1, 2, 3, …; a reader that sees position p sees every position below it.
/// - **Refusals are local.** An operation that is refused leaves no trace and takes no
///   position; its neighbours are appended as if it had not been there.
/// - **Fencing.** An operation with a fence is refused unless the fence is the shard's epoch.
///   Epochs only grow: with every [`acquire_lease`](Store::acquire_lease) that succeeds.
/// - **The database's clock** judges leases, so that skewed machines cannot both own a shard.
/// - **Projections are a fold.** The tables are what [`crate::log::projection`] makes of the
///   records, and [`rebuild`](Store::rebuild) proves it.
/// - **Set-based.** A batch takes a bounded number of statements, whatever its size.
///
/// # What callers do
///
/// - They append through [`crate::Log`], which groups operations and sorts out lost answers.
/// - They never put two records of one stream into one operation.
/// - Cancelling the future of a call leaves the database consistent, but whether it happened
///   is then unknown; [`find_operations`](Store::find_operations) tells.
#[async_trait]
pub trait Store: Tables + Vault {
    /// How many shards there are: fixed when the database was created.
    fn shard_count(&self) -> u16;

    /// Whether other processes may use the same database. If not, leases never expire and
    /// need no renewal.
    fn is_shared(&self) -> bool;

    /// Whether it answers a query, in this time. The error, when the time is over: what has kept it
    /// from that.
    async fn answers(&self, limit: Duration) -> Result<(), StoreError>;

    // --- the log ---

    /// Appends a batch.
    async fn append(
        &self,
        shard: Shard,
        operations: &[Operation],
    ) -> Result<AppendedBatch, StoreError>;

    /// Which of these operations are in the log after a position. Waits for transactions that
    /// are under way, so that the answer is final for every operation sent before.
    async fn find_operations(
        &self,
        shard: Shard,
        after: Position,
        operations: &[OperationId],
    ) -> Result<HashMap<OperationId, AppendOutcome>, StoreError>;

    /// Up to `limit` records after a position, in order.
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

    /// Where the shard stands.
    async fn shard_state(&self, shard: Shard) -> Result<ShardState, StoreError>;

    /// Positions of shards as other processes announce them, if they can. Only a hint: some
    /// may be lost. Can be taken once; None if there are no other processes.
    fn take_hints(&self) -> Option<mpsc::Receiver<(Shard, Position)>>;

    /// Tells other processes of a position. Must not fail or block; may drop it.
    fn announce(&self, shard: Shard, position: Position);

    /// Commits a write that changes nothing, as durably as an append: whether appends to the shard
    /// can be committed. For when they could not.
    async fn try_commit(&self, shard: Shard) -> Result<(), StoreError>;

    /// What has come of the writes that are no appends (leases, keys), each of which the store notes
    /// when it ends. [`try_commit`](Store::try_commit) is none of them.
    fn other_writes(&self) -> &OtherWrites;

    // --- bodies ---

    /// The bodies that have not expired.
    async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError>;

    /// Deletes up to `limit` bodies that have expired by the database's clock; says how many.
    async fn delete_expired_bodies(&self, shard: Shard, limit: usize) -> Result<usize, StoreError>;

    /// How many events and attempts an organization has: so many [`Store::erase_bodies`] looks at.
    async fn count_events_and_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError>;

    /// Deletes the bodies of an organization's events and attempts, expired or not: those of up
    /// to `limit` of them, in the order of their ids, after `after`.
    async fn erase_bodies(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Option<BodyId>,
        limit: usize,
    ) -> Result<ErasedBodies, StoreError>;

    // --- leases ---

    /// Takes the shard's lease, with a new epoch, if nobody holds it.
    async fn acquire_lease(
        &self,
        shard: Shard,
        owner: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Extends a lease by the full time to live. False if it has passed to another. A lease
    /// that ran out, but that nobody took, is extended.
    async fn renew_lease(&self, lease: Lease, time_to_live: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back. Nothing happens if it has passed to another.
    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError>;

    /// Reports a dispatch process as alive for `time_to_live`, and says what others there are
    /// and who holds which shard. A process that would be alive for more than ten times as long
    /// has reported before the database's clock was set back, and is left out until it reports
    /// again.
    async fn heartbeat(
        &self,
        member: &str,
        time_to_live: Duration,
    ) -> Result<ClusterState, StoreError>;

    /// Takes a dispatch process off the list of those alive.
    async fn leave(&self, member: &str) -> Result<(), StoreError>;

    // --- administration ---

    /// Notes when keys were used. A time before the one that is noted changes nothing.
    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;

    /// Drops the shard's projections and folds them from the log again, in one transaction.
    /// Appends wait meanwhile. `progress` is told how many records have been folded. If the future
    /// is dropped, nothing has changed; nor if some of the documents are of a newer version, of which
    /// this one would lose something ([`StoreError::Newer`]).
    async fn rebuild(
        &self,
        shard: Shard,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<(), StoreError>;

    /// Folds the log into tables of its own and compares them, row by row, with those that
    /// stand; documents by the entities that they hold, whatever their form. Changes nothing. At most
    /// `limit` differences are returned.
    async fn check(
        &self,
        shard: Shard,
        limit: usize,
        progress: &(dyn Fn(Position) + Sync),
    ) -> Result<Vec<RebuildDifference>, StoreError>;

    /// Which migrations were applied, and which this program needs.
    async fn table_versions(&self) -> Result<TableVersions, StoreError>;

    /// Closes every connection.
    async fn close(&self);
}

/// The tables, read. What they can be asked is said once, as methods of [`dyn Store`](Store) in
/// [`crate::queries`]; they come down to these.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// The rows of a selection.
    async fn select(&self, shard: Shard, selection: &ErasedSelection) -> Result<Rows, StoreError>;

    /// The rows that exist of those with these keys, in no order.
    async fn look_up(&self, shard: Shard, keys: &Keys<'_>) -> Result<Rows, StoreError>;

    /// How many rows a selection has, whatever its limit.
    async fn count(&self, shard: Shard, selection: &ErasedSelection) -> Result<u64, StoreError>;

    /// The rows of a selection in groups by a column of text: each group, and its least or greatest
    /// number.
    async fn grouped(
        &self,
        shard: Shard,
        selection: &ErasedSelection,
        group: &'static str,
        extreme: Extreme,
    ) -> Result<Vec<(String, i64)>, StoreError>;

    /// Records that belong into an organization's audit trail and match, newest first: below a
    /// position, and not below another.
    async fn audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        range: (Position, Option<Position>),
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The attempts at all of an organization's endpoints, deleted ones included, counted over
    /// these hours.
    async fn attempt_sums(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        hours: Range<Timestamp>,
    ) -> Result<Vec<AttemptSum>, StoreError>;

    /// Deliveries of an endpoint that wait for an attempt, ordered by [`DueKey`], above `after`.
    /// The page and its `as_of` are of one snapshot.
    async fn due_deliveries(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: DueKey,
        limit: usize,
    ) -> Result<DuePage, StoreError>;

    /// Every endpoint that deliveries wait for, with the earliest time that one is due. The list
    /// and its `as_of` are of one snapshot.
    async fn waiting_endpoints(&self, shard: Shard) -> Result<WaitingEndpoints, StoreError>;

    /// What a replay finds behind a cursor, in its order: of the next `limit` missed events, failed
    /// attempts or events of the endpoint those that it is about, and how far that goes. An event
    /// counts only if it was accepted below the position `before`. Takes no longer the less is
    /// found.
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

/// What became of a batch.
#[derive(Debug)]
pub struct AppendedBatch {
    /// One for each operation, in their order.
    pub results: Vec<Result<AppendOutcome, Refusal>>,
    /// The records that were appended, in order.
    pub records: Vec<Record>,
}

/// Where a shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardState {
    /// The last record's position.
    pub last_position: Position,
    /// What the owner has acted on.
    pub checkpoint: Position,
    /// The current owner's epoch.
    pub epoch: Epoch,
    /// How far the shard's steady clock has come. None: no owner has written a time of it.
    pub steady: Option<SteadyTime>,
}

/// The newest time of a shard's steady clock that was written down: the greatest `steady_time` of
/// its records' metadata. Waits are measured by this clock ([`Delivery::due_time`]); whoever owns
/// the shard next goes on from here, so that nothing waits longer than was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteadyTime {
    /// The time.
    pub time: Timestamp,
    /// How long ago it was written, by the database's clock; zero if that was set back meanwhile.
    pub age: Duration,
}

/// A step of erasing an organization's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedBodies {
    /// How many events or attempts were looked at.
    pub examined: usize,
    /// How many were deleted.
    pub deleted: usize,
    /// Where the next step begins. None: there is nothing after it.
    pub next: Option<BodyId>,
}

/// The right to work on a shard, until it expires or passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which shard.
    pub shard: Shard,
    /// Which turn.
    pub epoch: Epoch,
}

/// Who is there, and who holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The dispatch processes that are alive, the asking one included, sorted.
    pub members: Vec<String>,
    /// One for each shard, in order.
    pub shards: Vec<ShardLease>,
}

/// Who holds a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLease {
    /// Which shard.
    pub shard: Shard,
    /// Who took it and has not given it back, expired or not.
    pub owner: Option<String>,
    /// Whose turn that is. None: there is no owner.
    pub epoch: Option<Epoch>,
    /// How long the lease still lasts, by the database's clock. Zero if it has expired or there
    /// is no owner. On a store that is not shared leases never expire: `Duration::MAX`.
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
    /// When.
    pub due_time: Timestamp,
    /// Which.
    pub delivery_id: DeliveryId,
}

impl DueKey {
    /// Before every delivery.
    pub const MIN: DueKey = DueKey { due_time: Timestamp::MIN, delivery_id: DeliveryId::MIN };
}

/// Deliveries of one endpoint that wait for an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePage {
    /// The shard's last position in the snapshot that the page was read from: what records up
    /// to there say is in it, what later ones say is not.
    pub as_of: Position,
    /// In the order of their keys.
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

/// The versions of the tables: of their newest migration.
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
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// What they meant.
    pub outcome: AttemptOutcome,
    /// How long they took; see [`crate::durations`].
    pub duration_bucket: u16,
    /// How many there were.
    pub count: u64,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildDifference {
    /// The table.
    pub table: &'static str,
    /// The row as it stands; None if it is missing.
    pub stored: Option<String>,
    /// The row as the log says; None if there should be none.
    pub rebuilt: Option<String>,
}

//! The log as services use it: group commit, followers, and lost answers looked up.
//!
//! One appender for each shard takes all operations that wait, up to a limit, into the next
//! transaction while the last one commits. At low load an append takes one commit; at high load one
//! commit takes hundreds of operations.
//!
//! Decision: docs/decisions/group-commit.md

mod announcements;
mod append_error;
mod appender;
pub(crate) mod assessment;
mod background;
pub(crate) mod commits;
pub(crate) mod count_limit;
pub(crate) mod damage;
pub(crate) mod ended_keys;
mod event_router;
mod failure_cause;
pub(crate) mod feed;
mod follower;
pub(crate) mod integrity;
pub(crate) mod known_shard;
mod local_shard;
pub(crate) mod metrics;
pub mod operation;
pub(crate) mod other_writes;
pub mod plan;
mod position_key;
mod probes;
pub mod projection;
pub(crate) mod rows;
mod shards;
pub(crate) mod tail;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::ids::{KeyId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard, Version};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub use self::append_error::AppendError;
use self::appender::{Appender, Submission};
use self::background::BackgroundTasks;
pub use self::event_router::EventRouter;
use self::feed::{Feeds, OrganizationFollower};
pub use self::follower::Follower;
use self::local_shard::LocalShard;
use self::operation::{AppendOutcome, BodyId, Operation, Record};
pub use self::position_key::PositionKey;
use self::position_key::SealedPosition;
use self::probes::Probes;
use self::shards::Shards;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::limits::MAX_WAITING_OPERATIONS;
use crate::queries::long_reads::LongReads;
use crate::store::Store;

/// How long closing the database may take, even if [`Log::close`] has no time left.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// The log of every shard.
pub struct Log {
    shards: Arc<Shards>,
    /// The way to the appender of each shard.
    submissions: Vec<mpsc::Sender<Submission>>,
    feeds: Arc<Feeds>,
    probes: Probes,
    long_reads: Arc<LongReads>,
    tasks: BackgroundTasks,
    /// Drops the operations that wait, so that their callers learn that they are in doubt.
    abandon: CancellationToken,
}

impl Log {
    /// Starts the appenders on a store.
    pub async fn start(store: Arc<dyn Store>) -> Result<Arc<Log>, StoreError> {
        metrics::register(store.shard_count());
        let shards = Arc::new(Shards::load(Arc::clone(&store)).await?);
        let (tasks, abandon) = (BackgroundTasks::default(), CancellationToken::new());
        let mut submissions = Vec::new();
        for shard in shards.numbers() {
            let (sender, waiting) = mpsc::channel(MAX_WAITING_OPERATIONS);
            let appender = Appender { shards: Arc::clone(&shards), shard };
            let run = appender.run(waiting, tasks.stop.clone());
            tasks.tracker.spawn(abandon.clone().run_until_cancelled_owned(run));
            submissions.push(sender);
        }
        if let Some(hints) = store.take_hints() {
            tasks.spawn(announcements::listen(Arc::clone(&shards), hints));
            tasks.spawn(announcements::poll_slowly(Arc::clone(&shards)));
        }
        let long_reads = Arc::new(LongReads::default());
        let feeds = Arc::new(Feeds::new(Arc::clone(&shards), Arc::clone(&long_reads)));
        let probes = Probes::default();
        Ok(Arc::new(Log { shards, submissions, feeds, probes, long_reads, tasks, abandon }))
    }

    /// The database beneath, for queries.
    pub fn store(&self) -> &dyn Store {
        self.shards.store().as_ref()
    }

    /// The queues in which long reads wait, the same for all services of the process.
    pub fn long_reads(&self) -> &LongReads {
        &self.long_reads
    }

    /// The shard that an organization lives on.
    pub fn shard_of(&self, organization: &OrganizationId) -> Shard {
        Shard::of(organization, self.store().shard_count())
    }

    /// Appends an operation; answers when it is durable. If the future is dropped, the
    /// operation may or may not be appended.
    pub async fn append(
        &self,
        shard: Shard,
        operation: Operation,
    ) -> Result<AppendOutcome, AppendError> {
        self.submit(shard, operation).await?.await.unwrap_or(Err(AppendError::InDoubt))
    }

    /// Appends operations in this order. Each has an outcome of its own.
    pub async fn append_all(
        &self,
        shard: Shard,
        operations: Vec<Operation>,
    ) -> Vec<Result<AppendOutcome, AppendError>> {
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            answers.push(self.submit(shard, operation).await);
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(AppendError::InDoubt)),
                Err(error) => Err(error),
            });
        }
        results
    }

    /// The position of the last record that this process knows of, as it grows.
    pub fn watch(&self, shard: Shard) -> watch::Receiver<Position> {
        self.shards.watch(shard)
    }

    /// Lets an owner of the shard route events when they are accepted, until the answer is dropped.
    pub fn route_accepted(
        &self,
        shard: Shard,
        router: Arc<dyn EventRouter>,
    ) -> RoutingAtAcceptance {
        let local = Arc::clone(self.shards.local(shard));
        local.set_router(Arc::clone(&router));
        RoutingAtAcceptance { local, router }
    }

    /// Whether this process has just ended a key or a session. True before the caller who ended it
    /// is answered.
    pub fn has_ended(&self, key: KeyId) -> bool {
        self.shards.local(Shard::OF_KEYS).ended_keys.contains(key)
    }

    /// How many keys and sessions this process has ended, as it grows.
    pub fn ended_keys(&self) -> watch::Receiver<u64> {
        self.shards.local(Shard::OF_KEYS).ended_keys.watch()
    }

    /// Follows a shard's log from after a position.
    pub fn follow(&self, shard: Shard, after: Position) -> Follower {
        Follower::new(Arc::clone(&self.shards), shard, after)
    }

    /// Follows the records of an organization from after a position. However many followers there
    /// are, a shard's log is read once for all of them.
    pub fn follow_organization(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        after: Position,
    ) -> OrganizationFollower {
        OrganizationFollower::new(Arc::clone(&self.feeds), shard, organization, after)
    }

    /// Up to `limit` records after a position: from memory if they are there.
    pub async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        self.shards.read(shard, after, limit).await
    }

    /// The position of an organization's record. None: the organization has no such record.
    pub async fn position_of(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        name: RecordName,
    ) -> Result<Option<Position>, StoreError> {
        let RecordName { stream, version } = name;
        let found = self.store().read_stream(shard, stream, Version(version.0 - 1), 1).await?;
        let named = found
            .into_iter()
            .find(|record| record.version == version && record.organization_id == *organization);
        Ok(named.map(|record| record.position))
    }

    /// A position as one of the shard's organizations may see it: encrypted, so that it does not show how
    /// much others have recorded.
    pub async fn seal_position(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        position: Position,
    ) -> Result<Vec<u8>, StoreError> {
        let operation = self.operation_at(shard, position).await?;
        let key = self.shards.position_key(shard).await?;
        Ok(key.seal(organization, SealedPosition { position, operation }))
    }

    /// The position that was sealed for the organization. None: it was not, or the log is another one
    /// since (a backup was restored).
    pub async fn open_position(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        sealed: &[u8],
    ) -> Result<Option<Position>, StoreError> {
        let key = self.shards.position_key(shard).await?;
        let Some(SealedPosition { position, operation }) = key.open(organization, sealed) else {
            return Ok(None);
        };
        let is_there = self.operation_at(shard, position).await? == operation;
        Ok(is_there.then_some(position))
    }

    /// The operation whose record is at a position. None: there is no record.
    async fn operation_at(
        &self,
        shard: Shard,
        position: Position,
    ) -> Result<Option<OperationId>, StoreError> {
        if position == Position::START {
            return Ok(None);
        }
        let records = self.read(shard, Position(position.0 - 1), 1).await?;
        Ok(records.first().map(|record| record.operation_id))
    }

    /// Bodies that have not expired: from memory if they are there.
    pub async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        self.shards.bodies(shard, ids).await
    }

    /// Whether the database commits appends, judged by the last writes. The error says why not. One
    /// blocked shard is no error.
    ///
    /// After a failure, probes (writes that change nothing) show whether the problem has passed,
    /// and whether other shards have it too. However many callers ask, there is at most one probe
    /// in each [`PROBE_INTERVAL`](crate::limits::PROBE_INTERVAL), and none before its result would
    /// count. Without a failure the database is not asked.
    pub async fn can_commit(&self) -> Result<(), DatabaseProblem> {
        if self.shards.assess().needs_probe() {
            self.probes.run(&self.shards, &self.tasks).await;
        }
        self.shards.assess().result
    }

    /// Accepts nothing new, finishes what waits (for at most `patience`), closes the database.
    pub async fn close(&self, patience: Duration) {
        let end = Instant::now() + patience;
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        if timeout_at(end, self.tasks.tracker.wait()).await.is_err() {
            tracing::warn!("gave up on appends whose outcome the database did not tell");
            self.abandon.cancel();
        }
        if timeout_at(end.max(Instant::now() + CLOSE_LIMIT), self.store().close()).await.is_err() {
            tracing::warn!("gave up on closing the database");
        }
    }

    async fn submit(
        &self,
        shard: Shard,
        operation: Operation,
    ) -> Result<oneshot::Receiver<Result<AppendOutcome, AppendError>>, AppendError> {
        if self.tasks.stop.is_cancelled() {
            return Err(AppendError::Closed);
        }
        let (answer, answered) = oneshot::channel();
        let submissions = &self.submissions[usize::from(shard.0)];
        let submission = Submission { operation, answer };
        submissions.send(submission).await.map_err(|_| AppendError::Closed)?;
        Ok(answered)
    }
}

/// While it exists, a shard's events are routed when they are accepted.
pub struct RoutingAtAcceptance {
    local: Arc<LocalShard>,
    router: Arc<dyn EventRouter>,
}

impl Drop for RoutingAtAcceptance {
    fn drop(&mut self) {
        self.local.remove_router(&self.router);
    }
}

#[cfg(test)]
mod tests;

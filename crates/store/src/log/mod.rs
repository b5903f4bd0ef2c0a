//! The log as services use it: group commit, reading along, and lost answers sorted out.
//!
//! One appender for each shard takes all the operations that wait, up to a limit, into the
//! next transaction while the last one commits. At low load an append takes one commit; at
//! high load one commit takes hundreds of operations.
//!
//! Decision: docs/decisions/group-commit.md

pub(crate) mod commits;
pub(crate) mod feed;
pub(crate) mod key_ends;
pub(crate) mod metrics;
pub mod operation;
pub mod plan;
pub(crate) mod probes;
pub mod projection;
pub(crate) mod rows;
pub(crate) mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard, Version};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::retry;
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::error_chain::ErrorChain;
use crate::limits::{
    LOOKUP_BACKOFF, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_LOST_ANSWERS,
    MAX_WAITING_OPERATIONS, SLOW_POLL,
};
use crate::log::commits::{Commits, Judgement, judge};
use crate::log::feed::{Feeds, OrganizationFollower};
use crate::log::key_ends::KeyEnds;
use crate::log::operation::{AppendOutcome, BodyId, Operation, Record, Refusal};
use crate::log::probes::Probes;
use crate::log::tail::Tail;
use crate::queries::long_reads::LongReads;
use crate::store::{AppendedBatch, Store};

/// What closing the database may take in any case.
const CLOSING: Duration = Duration::from_millis(500);

/// The log of every shard.
pub struct Log {
    store: Arc<dyn Store>,
    shards: Vec<ShardLog>,
    feeds: Feeds,
    probes: Probes,
    long_reads: LongReads,
    tasks: TaskTracker,
    /// Nothing new is taken.
    stop: CancellationToken,
    /// What has been taken is dropped, so that whoever waits for it hears that it is in doubt.
    abandon: CancellationToken,
}

struct ShardLog {
    submissions: mpsc::Sender<Submission>,
    seen: Arc<Seen>,
}

/// What this process knows of a shard's log.
struct Seen {
    position: watch::Sender<Position>,
    tail: Mutex<Tail>,
    commits: Commits,
    key_ends: KeyEnds,
}

struct Submission {
    operation: Operation,
    answer: oneshot::Sender<Result<AppendOutcome, AppendError>>,
}

/// Why an operation is not known to be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It was refused, for a reason of its own.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database does not do it now. It was not appended; try again.
    #[error("the database did not append it: {0}")]
    Unavailable(DatabaseProblem),
    /// The log was closed before it could be learned whether it was appended.
    #[error("it is not known whether the database committed")]
    InDoubt,
    /// A defect of ours. It was not appended.
    #[error("the operation could not be appended")]
    Failed,
    /// The process is shutting down. It was not appended.
    #[error("the log is closed")]
    Closed,
}

impl Log {
    /// Starts the appenders on a store.
    pub async fn start(store: Arc<dyn Store>) -> Result<Arc<Log>, StoreError> {
        let tasks = TaskTracker::new();
        let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
        let mut shards = Vec::new();
        metrics::begin(store.shard_count());
        for shard in (0..store.shard_count()).map(Shard) {
            let state = store.shard_state(shard).await?;
            let (submissions, waiting) = mpsc::channel(MAX_WAITING_OPERATIONS);
            let position = watch::Sender::new(state.last_position);
            let (tail, commits, key_ends) = Default::default();
            let seen = Arc::new(Seen { position, tail, commits, key_ends });
            let appender = Appender { store: Arc::clone(&store), shard, seen: Arc::clone(&seen) };
            let run = appender.run(waiting, stop.clone());
            tasks.spawn(abandon.clone().run_until_cancelled_owned(run));
            shards.push(ShardLog { submissions, seen });
        }
        let log = Arc::new(Log {
            store,
            shards,
            feeds: Feeds::default(),
            probes: Probes::default(),
            long_reads: LongReads::default(),
            tasks,
            stop,
            abandon,
        });
        if let Some(hints) = log.store.take_hints() {
            log.spawn(listen(Arc::clone(&log), hints));
            log.spawn(poll_slowly(Arc::clone(&log)));
        }
        Ok(log)
    }

    /// The database beneath, for queries.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The lines in which long reads wait, the same for all services of the process.
    pub fn long_reads(&self) -> &LongReads {
        &self.long_reads
    }

    /// The shard that an organization lives on.
    pub fn shard_of(&self, organization: &OrganizationId) -> Shard {
        Shard::of(organization, self.store.shard_count())
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

    /// Appends operations, each for itself, in this order.
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
        self.seen(shard).position.subscribe()
    }

    /// Whether this process has ended a key or a session a moment ago. It is known before whoever
    /// has asked for the end hears of it.
    pub fn has_ended(&self, key: KeyId) -> bool {
        self.seen(Shard::OF_KEYS).key_ends.contains(key)
    }

    /// How many keys and sessions this process has ended, as it grows.
    pub fn ended_keys(&self) -> watch::Receiver<u64> {
        self.seen(Shard::OF_KEYS).key_ends.watch()
    }

    /// Reads along, from after a position.
    pub fn follow(self: &Arc<Self>, shard: Shard, after: Position) -> Follower {
        Follower { log: Arc::clone(self), shard, after, position: self.watch(shard) }
    }

    /// Reads along what is an organization's own, from after a position. However many do so, a
    /// shard's log is read once for all of them.
    pub fn follow_organization(
        self: &Arc<Self>,
        shard: Shard,
        organization: &OrganizationId,
        after: Position,
    ) -> OrganizationFollower {
        OrganizationFollower::new(self, &self.feeds, shard, organization, after)
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// Up to `limit` records after a position: from memory if they are remembered.
    pub async fn read(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let remembered = self.seen(shard).tail().read(after, limit);
        match remembered {
            Some(records) => Ok(records),
            None => {
                let records = self.store.read(shard, after, limit).await?;
                Ok(records.into_iter().map(Arc::new).collect())
            }
        }
    }

    /// Where a record of an organization's own stands. None: the organization has no such record
    /// there.
    pub async fn position_of(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        name: RecordName,
    ) -> Result<Option<Position>, StoreError> {
        let RecordName { stream, version } = name;
        let found = self.store.read_stream(shard, stream, Version(version.0 - 1), 1).await?;
        let named = found
            .into_iter()
            .find(|record| record.version == version && record.organization_id == *organization);
        Ok(named.map(|record| record.position))
    }

    /// Bodies that have not expired: from memory if they are remembered.
    pub async fn bodies(
        &self,
        shard: Shard,
        ids: &[BodyId],
    ) -> Result<HashMap<BodyId, Bytes>, StoreError> {
        let mut bodies = HashMap::with_capacity(ids.len());
        let mut others = Vec::new();
        {
            let tail = self.seen(shard).tail();
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

    /// Whether appends can be committed, as far as the last writes say. If some failed it is tried
    /// whether the trouble has passed, or whether other shards have it as well, by writes that change
    /// nothing: however many ask, not more often than every
    /// [`PROBE_INTERVAL`](crate::limits::PROBE_INTERVAL), and not before such a
    /// write would be believed. Otherwise the database is not asked. The error: what it lacks. One
    /// shard that is stuck is not its trouble.
    pub async fn can_commit(self: &Arc<Self>) -> Result<(), DatabaseProblem> {
        let judgement = self.judge();
        if judgement.is_open() {
            self.probes.run(self).await;
        }
        self.judge().verdict
    }

    pub(crate) fn judge(&self) -> Judgement {
        let shards: Vec<_> =
            self.shards.iter().map(|shard| shard.seen.commits.evidence()).collect();
        judge(&shards, self.store.other_writes().failure(), Instant::now())
    }

    /// Takes nothing new, finishes what waits (for at most `patience`), closes the database.
    pub async fn close(&self, patience: Duration) {
        let end = Instant::now() + patience;
        self.stop.cancel();
        self.tasks.close();
        if timeout_at(end, self.tasks.wait()).await.is_err() {
            tracing::warn!("gave up on appends whose outcome the database did not tell");
            self.abandon.cancel();
        }
        if timeout_at(end.max(Instant::now() + CLOSING), self.store.close()).await.is_err() {
            tracing::warn!("gave up on closing the database");
        }
    }

    pub(crate) fn commits(&self, shard: Shard) -> &Commits {
        &self.seen(shard).commits
    }

    /// Runs something until the log is closed.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(work));
    }

    async fn submit(
        &self,
        shard: Shard,
        operation: Operation,
    ) -> Result<oneshot::Receiver<Result<AppendOutcome, AppendError>>, AppendError> {
        if self.stop.is_cancelled() {
            return Err(AppendError::Closed);
        }
        let (answer, answered) = oneshot::channel();
        let submissions = &self.shards[usize::from(shard.0)].submissions;
        let submission = Submission { operation, answer };
        submissions.send(submission).await.map_err(|_| AppendError::Closed)?;
        Ok(answered)
    }

    fn seen(&self, shard: Shard) -> &Seen {
        &self.shards[usize::from(shard.0)].seen
    }
}

impl Seen {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, position: Position) {
        self.position.send_if_modified(|known| {
            let is_news = position > *known;
            *known = position.max(*known);
            is_news
        });
    }
}

/// Reads a shard's log along as it grows, without polling.
pub struct Follower {
    log: Arc<Log>,
    shard: Shard,
    after: Position,
    position: watch::Receiver<Position>,
}

impl Follower {
    /// The position of the last record that was read.
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next records, at least one, at most `limit`; waits until there are some. Cancel safe.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Record>>, StoreError> {
        loop {
            let after = self.after;
            // The sender lives as long as the log, which we hold.
            let _ = self.position.wait_for(|position| *position > after).await;
            let records = self.log.read(self.shard, after, limit).await?;
            if let Some(last) = records.last() {
                self.after = last.position;
                return Ok(records);
            }
        }
    }
}

/// Raises positions as other processes announce them.
async fn listen(log: Arc<Log>, mut hints: mpsc::Receiver<(Shard, Position)>) {
    while let Some((shard, position)) = hints.recv().await {
        if shard.0 < log.store.shard_count() {
            log.seen(shard).raise(position);
        }
    }
}

/// Looks now and then where somebody is reading along, because announcements may be lost. Beside
/// those who listen: a database that takes its time for this must not keep announcements waiting.
async fn poll_slowly(log: Arc<Log>) {
    let mut slow_poll = tokio::time::interval(SLOW_POLL);
    slow_poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        slow_poll.tick().await;
        for shard in (0..log.store.shard_count()).map(Shard) {
            if log.seen(shard).position.receiver_count() > 0
                && let Ok(state) = log.store.shard_state(shard).await
            {
                log.seen(shard).raise(state.last_position);
            }
        }
    }
}

struct Appender {
    store: Arc<dyn Store>,
    shard: Shard,
    seen: Arc<Seen>,
}

impl Appender {
    async fn run(self, mut waiting: mpsc::Receiver<Submission>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(MAX_BATCH_OPERATIONS);
        loop {
            let taken = tokio::select! {
                biased;
                taken = waiting.recv_many(&mut batch, MAX_BATCH_OPERATIONS) => taken,
                () = stop.cancelled(), if !waiting.is_closed() => {
                    // What waits is still appended; nothing new is taken.
                    waiting.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            for part in split_by_size(batch.drain(..)) {
                self.append(part).await;
            }
        }
    }

    /// Appends a batch and answers everyone in it.
    async fn append(&self, batch: Vec<Submission>) {
        // Whoever has given up waiting (a deadline passed) is not appended any more.
        let batch = batch.into_iter().filter(|submission| !submission.answer.is_closed());
        let (mut operations, mut answers): (Vec<_>, Vec<_>) =
            batch.map(|submission| (submission.operation, submission.answer)).unzip();
        let mut lost_answers = 0;
        while !operations.is_empty() {
            // What this transaction appends can only be above what is known before it begins.
            let known = *self.seen.position.borrow();
            let began = Instant::now();
            self.seen.commits.begin();
            let appended = self.store.append(self.shard, &operations).await;
            metrics::transaction(operations.len(), began.elapsed(), &appended);
            self.note(&appended);
            match appended {
                Ok(appended) => return self.answer(operations, answers, appended),
                Err(StoreError::Unknown(error)) => {
                    tracing::warn!(shard = %self.shard, %error, "a commit's answer was lost, looking it up");
                    (operations, answers) = self.look_up(known, operations, answers).await;
                    lost_answers += 1;
                    if lost_answers == MAX_LOST_ANSWERS {
                        // It fails, rather than its answers: what is left did not happen.
                        let reason = self.give_up(&StoreError::Unknown(error));
                        return tell_all(answers, &reason);
                    }
                }
                Err(error) if error.is_transient() || operations.len() == 1 => {
                    let reason = self.give_up(&error);
                    return tell_all(answers, &reason);
                }
                Err(error) => {
                    // One of them brought the others down: each for itself.
                    tracing::error!(shard = %self.shard, error = %ErrorChain(&error), "a batch failed");
                    return self.append_one_by_one(operations, answers).await;
                }
            }
        }
    }

    /// What the end of a transaction says of the database.
    fn note(&self, appended: &Result<AppendedBatch, StoreError>) {
        let commits = &self.seen.commits;
        match appended {
            Ok(batch) if batch.records.is_empty() => commits.end(),
            Ok(_) => {
                self.store.other_writes().passed();
                if commits.succeeded() {
                    tracing::info!(shard = %self.shard, "appends are committed again");
                }
            }
            Err(error) => match error.problem() {
                Some(problem) => {
                    metrics::failed(self.shard, problem);
                    commits.failed(problem);
                }
                None => commits.end(),
            },
        }
    }

    async fn append_one_by_one(&self, operations: Vec<Operation>, answers: Vec<Answer>) {
        for (operation, answer) in operations.into_iter().zip(answers) {
            Box::pin(self.append(vec![Submission { operation, answer }])).await;
        }
    }

    /// Tells those whose operations are in the log after a position; returns the others.
    async fn look_up(
        &self,
        known: Position,
        operations: Vec<Operation>,
        answers: Vec<Answer>,
    ) -> (Vec<Operation>, Vec<Answer>) {
        let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
        let find = || self.store.find_operations(self.shard, known, &ids);
        let note_failure = |error: &StoreError| {
            if let Some(problem) = error.problem() {
                self.seen.commits.failed(problem);
            }
            tracing::warn!(shard = %self.shard, error = %ErrorChain(error), "cannot look up a commit yet");
        };
        let mut found = retry(LOOKUP_BACKOFF, find, note_failure).await;
        if !found.is_empty() {
            self.seen.commits.succeeded();
        }
        let mut others = (Vec::new(), Vec::new());
        for (operation, answer) in operations.into_iter().zip(answers) {
            match found.remove(&operation.id) {
                Some(appended) => {
                    self.seen.key_ends.note(&operation);
                    if let AppendOutcome::Appended { last, .. } = appended {
                        self.seen.raise(last);
                        self.store.announce(self.shard, last);
                    }
                    _ = answer.send(Ok(appended));
                }
                None => {
                    others.0.push(operation);
                    others.1.push(answer);
                }
            }
        }
        others
    }

    fn answer(&self, operations: Vec<Operation>, answers: Vec<Answer>, appended: AppendedBatch) {
        let AppendedBatch { results, records } = appended;
        if let Some(last) = records.last().map(|record| record.position) {
            let is_new = |result: &Result<AppendOutcome, Refusal>| {
                matches!(result, Ok(AppendOutcome::Appended { .. }))
            };
            let accepted =
                operations.into_iter().zip(&results).filter(|(_, result)| is_new(result));
            let accepted = accepted.map(|(operation, _)| operation);
            let accepted = accepted.inspect(|operation| self.seen.key_ends.note(operation));
            let bodies = accepted.flat_map(|operation| operation.bodies);
            self.seen.tail().extend(records, bodies);
            self.seen.raise(last);
            self.store.announce(self.shard, last);
        }
        for (answer, result) in answers.into_iter().zip(results) {
            _ = answer.send(result.map_err(AppendError::Refused));
        }
    }

    fn give_up(&self, error: &StoreError) -> AppendError {
        if let Some(problem) = error.problem() {
            tracing::warn!(shard = %self.shard, trouble = %problem, error = %ErrorChain(error), "cannot append");
            return AppendError::Unavailable(problem);
        }
        tracing::error!(shard = %self.shard, error = %ErrorChain(error), "an operation failed");
        AppendError::Failed
    }
}

type Answer = oneshot::Sender<Result<AppendOutcome, AppendError>>;

fn tell_all(answers: Vec<Answer>, error: &AppendError) {
    answers.into_iter().for_each(|answer| _ = answer.send(Err(error.clone())));
}

fn split_by_size(batch: impl Iterator<Item = Submission>) -> Vec<Vec<Submission>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut part_bytes = 0;
    for submission in batch {
        let bodies = submission.operation.bodies.iter();
        let bytes: usize = bodies.map(|body| body.content.len()).sum();
        if part_bytes + bytes > MAX_BATCH_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            part_bytes = 0;
        }
        part_bytes += bytes;
        part.push(submission);
    }
    parts.extend((!part.is_empty()).then_some(part));
    parts
}

#[cfg(test)]
mod tests;

//! One shard's appender: group commit, and looking up operations whose answer was lost.
//!
//! Decision: docs/decisions/group-commit.md

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::retry;
use crate::error::StoreError;
use crate::error_chain::ErrorChain;
use crate::limits::{LOOKUP_BACKOFF, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_LOST_ANSWERS};
use crate::log::append_error::AppendError;
use crate::log::local_shard::LocalShard;
use crate::log::metrics;
use crate::log::operation::{AppendOutcome, Operation, Refusal};
use crate::log::shards::Shards;
use crate::store::{AppendedBatch, Store};

/// An operation that waits to be appended, and its caller.
pub(crate) struct Submission {
    pub(crate) operation: Operation,
    pub(crate) answer: Answer,
}

pub(crate) type Answer = oneshot::Sender<Result<AppendOutcome, AppendError>>;

/// Appends the operations of one shard, a batch at a time.
pub(crate) struct Appender {
    pub(crate) shards: Arc<Shards>,
    pub(crate) shard: Shard,
}

impl Appender {
    /// Runs until nobody submits any more, or until `stop` and everything that waits is appended.
    pub(crate) async fn run(
        self,
        mut waiting: mpsc::Receiver<Submission>,
        stop: CancellationToken,
    ) {
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
                self.append(part, &mut waiting).await;
            }
        }
    }

    /// Appends a batch and answers everyone in it. `waiting` is what may not wait for longer than the
    /// database answers.
    async fn append(&self, batch: Vec<Submission>, waiting: &mut mpsc::Receiver<Submission>) {
        // An operation whose caller has given up (its deadline passed) is not appended any more.
        let batch = batch.into_iter().filter(|submission| !submission.answer.is_closed());
        let (mut operations, mut answers): (Vec<_>, Vec<_>) =
            batch.map(|submission| (submission.operation, submission.answer)).unzip();
        let mut lost_answers = 0;
        while !operations.is_empty() {
            // What this transaction appends is above every position that is known before it begins.
            let known = *self.local().position.borrow();
            self.route(known, &mut operations);
            let began = Instant::now();
            self.local().commits.begin();
            let appended = self.try_append(&operations).await;
            metrics::transaction(operations.len(), began.elapsed(), &appended);
            self.note(&appended);
            match appended {
                Ok(appended) => return self.answer(operations, answers, appended),
                Err(StoreError::Unknown(error)) => {
                    tracing::warn!(shard = %self.shard, %error, "a commit's answer was lost, looking it up");
                    (operations, answers) = self.look_up(known, operations, answers, waiting).await;
                    lost_answers += 1;
                    if lost_answers == MAX_LOST_ANSWERS {
                        // Commits fail, and it is not only their answers: what is left did not happen.
                        let reason = self.give_up(&StoreError::Unknown(error));
                        return fail_all(answers, &reason);
                    }
                }
                Err(error) if fails_all(&error) || operations.len() == 1 => {
                    let reason = self.give_up(&error);
                    return fail_all(answers, &reason);
                }
                Err(error) => {
                    // One operation made the others fail: append each by itself.
                    tracing::error!(shard = %self.shard, error = %ErrorChain(&error), "a batch failed");
                    return self.append_one_by_one(operations, answers, waiting).await;
                }
            }
        }
    }

    /// Adds where accepted events go, if this process owns the shard and knows it.
    fn route(&self, last_position: Position, operations: &mut [Operation]) {
        let router = self.local().router();
        for operation in operations {
            operation.routing =
                router.as_ref().and_then(|router| router.route(operation, last_position));
        }
    }

    /// Appends, unless the shard is damaged.
    async fn try_append(&self, operations: &[Operation]) -> Result<AppendedBatch, StoreError> {
        if self.local().is_damaged() {
            // Somebody may have repaired it.
            self.shards.read_state(self.shard).await?;
        }
        match self.store().append(self.shard, operations).await {
            Err(error) => Err(self.store().damage_or(self.shard, error).await),
            appended => appended,
        }
    }

    /// Notes what the end of a transaction says of the database.
    fn note(&self, appended: &Result<AppendedBatch, StoreError>) {
        let commits = &self.local().commits;
        match appended {
            Ok(batch) if batch.records.is_empty() => commits.end(),
            Ok(_) => {
                self.store().other_writes().passed();
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

    async fn append_one_by_one(
        &self,
        operations: Vec<Operation>,
        answers: Vec<Answer>,
        waiting: &mut mpsc::Receiver<Submission>,
    ) {
        for (operation, answer) in operations.into_iter().zip(answers) {
            Box::pin(self.append(vec![Submission { operation, answer }], waiting)).await;
        }
    }

    /// Answers the callers whose operations are in the log after a position; returns the others. As
    /// long as the database does not tell, what waits behind them fails.
    async fn look_up(
        &self,
        known: Position,
        operations: Vec<Operation>,
        answers: Vec<Answer>,
        waiting: &mut mpsc::Receiver<Submission>,
    ) -> (Vec<Operation>, Vec<Answer>) {
        let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
        let find = || self.store().find_operations(self.shard, known, &ids);
        let note_failure = |error: &StoreError| {
            if let Some(problem) = error.problem() {
                self.local().commits.failed(problem);
            }
            tracing::warn!(shard = %self.shard, error = %ErrorChain(error), "cannot look up a commit yet");
            fail_waiting(waiting, error);
        };
        let mut found = retry(LOOKUP_BACKOFF, find, note_failure).await;
        if !found.is_empty() {
            self.local().commits.succeeded();
        }
        let mut others = (Vec::new(), Vec::new());
        for (operation, answer) in operations.into_iter().zip(answers) {
            match found.remove(&operation.id) {
                Some(appended) => {
                    self.local().ended_keys.note(&operation);
                    if let AppendOutcome::Appended { last, .. } = appended {
                        self.local().raise(last);
                        self.store().announce(self.shard, last);
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
            let accepted = accepted.inspect(|operation| self.local().ended_keys.note(operation));
            let bodies = accepted.flat_map(|operation| operation.bodies);
            if let Some(router) = self.local().router() {
                router.appended(&records);
            }
            self.local().tail().extend(records, bodies);
            self.local().raise(last);
            self.store().announce(self.shard, last);
        }
        for (answer, result) in answers.into_iter().zip(results) {
            _ = answer.send(result.map_err(AppendError::Refused));
        }
    }

    fn local(&self) -> &LocalShard {
        self.shards.local(self.shard)
    }

    fn store(&self) -> &dyn Store {
        self.shards.store().as_ref()
    }

    fn give_up(&self, error: &StoreError) -> AppendError {
        match error.problem() {
            Some(problem) => {
                tracing::warn!(shard = %self.shard, trouble = %problem, error = %ErrorChain(error), "cannot append");
            }
            None => {
                tracing::error!(shard = %self.shard, error = %ErrorChain(error), "an operation failed");
            }
        }
        answer_to(error)
    }
}

fn answer_to(error: &StoreError) -> AppendError {
    error.problem().map_or(AppendError::Failed, AppendError::Unavailable)
}

/// Fails what waits, as a transaction that cannot begin.
fn fail_waiting(waiting: &mut mpsc::Receiver<Submission>, error: &StoreError) {
    let mut failed = Vec::new();
    while let Ok(Submission { answer, .. }) = waiting.try_recv() {
        failed.push(answer);
    }
    if !failed.is_empty() {
        metrics::failed_transaction(failed.len());
        fail_all(failed, &answer_to(error));
    }
}

/// Whether every operation of a batch fails with it, each by itself as well.
fn fails_all(error: &StoreError) -> bool {
    error.is_transient() || matches!(error, StoreError::DamagedLog { .. })
}

fn fail_all(answers: Vec<Answer>, error: &AppendError) {
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

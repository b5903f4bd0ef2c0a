//! What the last writes say of the database: whether it can do its work now. Nothing here asks it.
//!
//! What stops one shard (its row is locked) says nothing of the others, and is told apart from what
//! stops the database: see [`judge`].
//!
//! Decision: docs/decisions/a-locked-row-leaves-the-process-ready.md

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use tokio::time::Instant;

use crate::database_problem::{DatabaseProblem, ProblemScope};
use crate::error::StoreError;

/// How long a commit may take before it counts as one that is not answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last failure must be ago before a write of ours, which is smaller than what is
/// appended, is believed: a disk may have room for the one and not for the other. As long as appends
/// go on failing the database is not ready. Nothing is tried before.
const DOUBT: Duration = Duration::from_secs(10);

/// How long a commit on one shard shows that the database commits, while others are stuck: longer
/// than from one try to the next.
const PROOF_LASTS: Duration = Duration::from_secs(10);

/// The commits of one shard's appender.
#[derive(Debug, Default)]
pub(crate) struct Commits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the last one failed; None: it did not.
    failure: Option<Failure>,
    /// How many have failed, ever.
    failures: u64,
    /// Since when one is under way.
    under_way: Option<Instant>,
    /// When the last one succeeded.
    succeeded: Option<Instant>,
}

/// A write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) problem: DatabaseProblem,
    pub(crate) at: Instant,
    /// How many have failed with it.
    pub(crate) number: u64,
}

/// What is known of a shard's commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The last one failed so. It may have passed.
    pub(crate) failure: Option<Failure>,
    /// One is under way, and has not been answered in time.
    pub(crate) is_silent: bool,
    /// When the last one succeeded.
    pub(crate) succeeded: Option<Instant>,
}

impl Commits {
    /// A transaction begins.
    pub(crate) fn begin(&self) {
        self.state().under_way = Some(Instant::now());
    }

    /// It has ended without a commit, and says nothing.
    pub(crate) fn end(&self) {
        self.state().under_way = None;
    }

    /// It was committed. Whether the one before it was not.
    pub(crate) fn succeeded(&self) -> bool {
        let mut state = self.state();
        state.under_way = None;
        state.succeeded = Some(Instant::now());
        state.failure.take().is_some()
    }

    /// It failed, or nobody knows.
    pub(crate) fn failed(&self, problem: DatabaseProblem) {
        let mut state = self.state();
        state.under_way = None;
        state.fail(problem);
    }

    /// What came of a write that was only to see whether it succeeds. `seen` is the failure that
    /// was known before it.
    pub(crate) fn tried(&self, seen: Option<Failure>, tried: Result<(), DatabaseProblem>) {
        let mut state = self.state();
        let is_as_seen = state.failure == seen;
        match tried {
            Ok(()) => {
                state.succeeded = Some(Instant::now());
                // What has failed meanwhile stands.
                if is_as_seen {
                    state.failure = None;
                }
            }
            Err(problem) => match &mut state.failure {
                // Since when it is so is for appends to say.
                Some(failure) => failure.problem = problem,
                None => state.fail(problem),
            },
        }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let State { failure, under_way, succeeded, .. } = *self.state();
        let is_silent = under_way.is_some_and(|since| since.elapsed() >= PATIENCE);
        Evidence { failure, is_silent, succeeded }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, problem: DatabaseProblem) {
        self.failures += 1;
        self.failure = Some(Failure { problem, at: Instant::now(), number: self.failures });
    }
}

/// What the writes say that are not appends: of leases, of data keys, of when keys were used. A
/// store notes each of them.
#[derive(Debug, Default)]
pub struct OtherWrites(Mutex<State>);

impl OtherWrites {
    /// One has ended. What is said of rows, or of the way to the database, is for whoever asked:
    /// this is about whether the database takes writes.
    pub(crate) fn note<T>(&self, outcome: &Result<T, StoreError>) {
        let mut state = self.state();
        match outcome {
            Ok(_) => {
                if state.failure.is_some_and(|failure| failure.at.elapsed() >= DOUBT) {
                    state.failure = None;
                }
            }
            Err(error) => match error.problem() {
                Some(problem) if problem.is_of_writes() => state.fail(problem),
                _ => {}
            },
        }
    }

    /// An append was committed, which is a larger write than these.
    pub(crate) fn passed(&self) {
        self.state().failure = None;
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.state().failure
    }

    /// What came of a write that was only to see whether it succeeds.
    pub(crate) fn tried(&self, seen: Failure, tried: Result<(), DatabaseProblem>) {
        let mut state = self.state();
        match tried {
            Ok(()) if state.failure == Some(seen) => state.failure = None,
            Err(problem) if problem.is_of_writes() => {
                if let Some(failure) = &mut state.failure {
                    failure.problem = problem;
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows from all that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Whether the database commits. The error: why not.
    pub(crate) verdict: Result<(), DatabaseProblem>,
    /// Shards on which the database failed, long enough ago for a small write to be believed.
    pub(crate) recovering: Vec<Shard>,
    /// The same of the writes that are no appends.
    pub(crate) are_others_recovering: bool,
    /// Shards that are stuck, while nothing shows that others are not.
    pub(crate) stuck: Vec<Shard>,
    /// Shards that are not known to be stuck, if it has to be seen whether all are.
    pub(crate) witnesses: Vec<Shard>,
}

impl Judgement {
    /// Whether a write of ours would tell more.
    pub(crate) fn is_open(&self) -> bool {
        let Judgement { recovering, are_others_recovering, stuck, witnesses, .. } = self;
        *are_others_recovering
            || !(recovering.is_empty() && stuck.is_empty() && witnesses.is_empty())
    }
}

/// Judges the database by its shards' commits, and by the last failure of other writes. Pure.
///
/// - A failure of the database's own (the disk is full) stands until its shard commits again. What
///   does not depend on how much is written is refuted by a later commit on any shard, too: then it
///   was one connection's.
/// - A stuck shard (its row is locked, its commit is not answered) is that shard's trouble, as long as
///   another one has committed since, or a moment ago. If none has, that is to be seen.
pub(crate) fn judge(shards: &[Evidence], others: Option<Failure>, now: Instant) -> Judgement {
    let is_old = |failure: &Failure| now.duration_since(failure.at) >= DOUBT;
    let last_commit = shards.iter().filter_map(|shard| shard.succeeded).max();
    let is_refuted = |failure: &Failure| {
        !failure.problem.depends_on_size() && last_commit.is_some_and(|time| time > failure.at)
    };
    let mut judgement = Judgement {
        verdict: others.map_or(Ok(()), |failure| Err(failure.problem)),
        recovering: Vec::new(),
        are_others_recovering: others.as_ref().is_some_and(is_old),
        stuck: Vec::new(),
        witnesses: Vec::new(),
    };
    // Since when shards are stuck, as far as is known, and why.
    let mut stuck = Vec::new();
    for (number, evidence) in (0..).zip(shards) {
        match evidence.failure {
            _ if evidence.is_silent => stuck.push((now, DatabaseProblem::Silent)),
            Some(failure) if failure.problem.scope() == ProblemScope::Rows => {
                judgement.stuck.push(Shard(number));
                stuck.push((failure.at, failure.problem));
            }
            Some(failure) if !is_refuted(&failure) => {
                judgement.verdict = judgement.verdict.and(Err(failure.problem));
                if is_old(&failure) {
                    judgement.recovering.push(Shard(number));
                }
            }
            _ => judgement.witnesses.push(Shard(number)),
        }
    }
    let of_witnesses = judgement.witnesses.iter().map(|shard| shards[usize::from(shard.0)]);
    let proof = of_witnesses.filter_map(|evidence| evidence.succeeded).max();
    let is_shown = |since: Instant| {
        proof.is_some_and(|time| time > since || now.duration_since(time) < PROOF_LASTS)
    };
    match stuck.into_iter().max_by_key(|(since, _)| *since) {
        Some((since, problem)) if !is_shown(since) => {
            judgement.verdict = judgement.verdict.and(Err(problem));
        }
        _ => {
            judgement.stuck.clear();
            judgement.witnesses.clear();
        }
    }
    judgement
}

#[cfg(test)]
#[path = "commits_tests.rs"]
mod tests;

//! What the last commits of a shard's appender say of the database. Nothing here asks it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::database_problem::DatabaseProblem;

/// How long a commit may take before it counts as unanswered.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The commits of one shard's appender.
#[derive(Debug, Default)]
pub(crate) struct Commits(Mutex<History>);

#[derive(Debug, Default)]
struct History {
    /// Of the last commit; None: it did not fail.
    failure: Option<Failure>,
    /// How many have failed, ever.
    failures: u64,
    /// When the commit began that is under way.
    under_way: Option<Instant>,
    /// When the last one succeeded.
    succeeded: Option<Instant>,
}

/// A write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) problem: DatabaseProblem,
    pub(crate) at: Instant,
    /// How many writes have failed, this one included: it tells two failures apart.
    pub(crate) number: u64,
}

/// What is known of a shard's commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CommitState {
    /// Of the last commit. The problem may have passed.
    pub(crate) failure: Option<Failure>,
    /// A commit is under way and was not answered in time.
    pub(crate) is_unanswered: bool,
    /// When the last one succeeded.
    pub(crate) succeeded: Option<Instant>,
}

impl Commits {
    /// A transaction begins.
    pub(crate) fn begin(&self) {
        self.history().under_way = Some(Instant::now());
    }

    /// The transaction ended without a commit, which says nothing.
    pub(crate) fn end(&self) {
        self.history().under_way = None;
    }

    /// The transaction was committed. True if the one before it had failed.
    pub(crate) fn succeeded(&self) -> bool {
        let mut history = self.history();
        history.under_way = None;
        history.succeeded = Some(Instant::now());
        history.failure.take().is_some()
    }

    /// The transaction failed, or its outcome is unknown.
    pub(crate) fn failed(&self, problem: DatabaseProblem) {
        let mut history = self.history();
        history.under_way = None;
        history.fail(problem);
    }

    /// A probe ended. `failure_before` is the failure that was known when it began.
    pub(crate) fn probed(
        &self,
        failure_before: Option<Failure>,
        outcome: Result<(), DatabaseProblem>,
    ) {
        let mut history = self.history();
        match outcome {
            Ok(()) => {
                history.succeeded = Some(Instant::now());
                // A failure during the probe still counts.
                if history.failure == failure_before {
                    history.failure = None;
                }
            }
            Err(problem) => match &mut history.failure {
                // Only appends say since when commits fail.
                Some(failure) => failure.problem = problem,
                None => history.fail(problem),
            },
        }
    }

    pub(crate) fn state(&self) -> CommitState {
        let History { failure, under_way, succeeded, .. } = *self.history();
        let is_unanswered = under_way.is_some_and(|since| since.elapsed() >= COMMIT_TIMEOUT);
        CommitState { failure, is_unanswered, succeeded }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn fail(&mut self, problem: DatabaseProblem) {
        self.failures += 1;
        self.failure = Some(Failure { problem, at: Instant::now(), number: self.failures });
    }
}

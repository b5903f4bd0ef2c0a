//! What the last writes that are not appends say of the database.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::log::assessment::MIN_FAILURE_AGE;
use crate::log::commits::Failure;

/// The outcomes of writes that are not appends: of leases, of data keys, of when keys were used. A
/// store notes each of them.
#[derive(Debug, Default)]
pub struct OtherWrites(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    last: Option<Failure>,
    /// How many there were, ever.
    count: u64,
}

impl OtherWrites {
    /// A write ended. Only problems that stop all writes count here; its caller handles the others.
    pub(crate) fn note<T>(&self, outcome: &Result<T, StoreError>) {
        let mut failures = self.failures();
        match outcome {
            Ok(_) => {
                if failures.last.is_some_and(|failure| failure.at.elapsed() >= MIN_FAILURE_AGE) {
                    failures.last = None;
                }
            }
            Err(error) => match error.problem() {
                Some(problem) if problem.is_of_writes() => failures.add(problem),
                _ => {}
            },
        }
    }

    /// An append was committed, which is a larger write than these.
    pub(crate) fn passed(&self) {
        self.failures().last = None;
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failures().last
    }

    /// A probe ended. `failure_before` is the failure that was known when it began.
    pub(crate) fn probed(&self, failure_before: Failure, outcome: Result<(), DatabaseProblem>) {
        let mut failures = self.failures();
        match outcome {
            Ok(()) if failures.last == Some(failure_before) => failures.last = None,
            Err(problem) if problem.is_of_writes() => {
                if let Some(failure) = &mut failures.last {
                    failure.problem = problem;
                }
            }
            _ => {}
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn add(&mut self, problem: DatabaseProblem) {
        self.count += 1;
        self.last = Some(Failure { problem, at: Instant::now(), number: self.count });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(problem: DatabaseProblem) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(problem.into()))
    }

    #[tokio::test(start_paused = true)]
    async fn only_problems_that_stop_all_writes_count() {
        let writes = OtherWrites::default();
        for problem in [
            DatabaseProblem::Locked,
            DatabaseProblem::Conflict,
            DatabaseProblem::TooSlow,
            DatabaseProblem::Silent,
        ] {
            writes.note(&unavailable(problem));
            assert_eq!(writes.failure(), None, "{problem}");
        }
        for problem in
            [DatabaseProblem::DiskFull, DatabaseProblem::ReadOnly, DatabaseProblem::FilesFail]
        {
            writes.note(&unavailable(problem));
            assert_eq!(writes.failure().map(|failure| failure.problem), Some(problem));
        }
        // On a full disk, one of several small writes may still find room.
        writes.note(&Ok::<_, StoreError>(()));
        assert!(writes.failure().is_some());
        tokio::time::advance(MIN_FAILURE_AGE).await;
        writes.note(&Ok::<_, StoreError>(()));
        assert_eq!(writes.failure(), None);
        writes.note(&unavailable(DatabaseProblem::ReadOnly));
        writes.passed();
        assert_eq!(writes.failure(), None, "an append was committed");
    }
}

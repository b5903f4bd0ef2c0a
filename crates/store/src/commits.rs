//! What the last commits of a shard say of the database: whether it can do its work now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::trouble::Trouble;

/// How long a commit may take before it counts as one that is not answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last failure must be ago before a write of ours, which is smaller than what is
/// appended, is believed: a disk may have room for the one and not for the other. As long as appends
/// go on failing the database is not ready.
const DOUBT: Duration = Duration::from_secs(10);

/// The commits of one shard's appender.
#[derive(Debug, Default)]
pub(crate) struct Commits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the last one failed, and when; None: it did not.
    trouble: Option<(Trouble, Instant)>,
    /// How many have failed, ever.
    failures: u64,
    /// Since when one is under way.
    under_way: Option<Instant>,
}

/// What can be known without asking the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The last commit succeeded, or there was none.
    Good,
    /// So many have failed, with the last one: it may have passed.
    Failed { failures: u64 },
    /// One is under way and has not been answered in time.
    Silent,
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
        state.trouble.take().is_some()
    }

    /// It failed, or nobody knows.
    pub(crate) fn failed(&self, trouble: Trouble) {
        let mut state = self.state();
        state.under_way = None;
        state.trouble = Some((trouble, Instant::now()));
        state.failures += 1;
    }

    /// A write that was only to see whether the trouble has passed has succeeded. The error: what
    /// stands all the same, because it is too fresh, or has failed since.
    pub(crate) fn passed(&self, seen: u64) -> Result<(), Trouble> {
        let mut state = self.state();
        match state.trouble {
            Some((trouble, at)) if state.failures != seen || at.elapsed() < DOUBT => Err(trouble),
            _ => {
                state.trouble = None;
                Ok(())
            }
        }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let state = self.state();
        let is_silent = |since: Instant| since.elapsed() >= PATIENCE;
        match state.trouble {
            _ if state.under_way.is_some_and(is_silent) => Evidence::Silent,
            Some(_) => Evidence::Failed { failures: state.failures },
            None => Evidence::Good,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

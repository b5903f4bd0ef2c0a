//! Counts what stands still on a shard: channels, replays and deleted endpoints that need a row which
//! this version of the program cannot read. They go on when the row is repaired, or when a newer
//! version owns the shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct BlockedWork(Arc<AtomicU64>);

/// Counts as one until it is dropped.
#[derive(Debug)]
pub(crate) struct Blocked(Arc<AtomicU64>);

impl BlockedWork {
    /// Counts something as blocked, or no longer. It counts once, however often this is called.
    pub(crate) fn set(&self, blocked: &mut Option<Blocked>, is_blocked: bool) {
        *blocked = is_blocked.then(|| blocked.take().unwrap_or_else(|| self.begin()));
    }

    fn begin(&self) -> Blocked {
        self.0.fetch_add(1, Ordering::Relaxed);
        Blocked(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_counts_once_until_it_goes_on_or_is_dropped() {
        let work = BlockedWork::default();
        let (mut replay, mut channel) = (None, None);
        work.set(&mut replay, true);
        work.set(&mut replay, true);
        work.set(&mut channel, true);
        assert_eq!(work.count(), 2);
        work.set(&mut replay, false);
        assert_eq!(work.count(), 1);
        drop(channel);
        assert_eq!(work.count(), 0);
    }
}

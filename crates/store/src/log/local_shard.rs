//! What this process keeps in memory of a shard's log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use keeptrusts_webhooks_domain::log::Position;
use tokio::sync::watch;

use crate::log::commits::Commits;
use crate::log::ended_keys::EndedKeys;
use crate::log::tail::Tail;

/// One shard's log, as far as this process knows it.
pub(crate) struct LocalShard {
    /// The position of the last record that this process knows of.
    pub(crate) position: watch::Sender<Position>,
    pub(crate) commits: Commits,
    pub(crate) ended_keys: EndedKeys,
    tail: Mutex<Tail>,
}

impl LocalShard {
    pub(crate) fn new(last_position: Position) -> LocalShard {
        let (tail, commits, ended_keys) = Default::default();
        LocalShard { position: watch::Sender::new(last_position), commits, ended_keys, tail }
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There are records up to this position. Wakes those who wait for them.
    pub(crate) fn raise(&self, position: Position) {
        self.position.send_if_modified(|known| {
            let is_news = position > *known;
            *known = position.max(*known);
            is_news
        });
    }
}

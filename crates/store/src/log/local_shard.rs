//! What this process keeps in memory of a shard's log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use keeptrusts_webhooks_domain::log::Position;
use tokio::sync::{OnceCell, watch};

use crate::log::commits::Commits;
use crate::log::ended_keys::EndedKeys;
use crate::log::event_router::EventRouter;
use crate::log::position_key::PositionKey;
use crate::log::tail::Tail;

/// One shard's log, as far as this process knows it.
pub(crate) struct LocalShard {
    /// The position of the last record that this process knows of.
    pub(crate) position: watch::Sender<Position>,
    pub(crate) commits: Commits,
    pub(crate) ended_keys: EndedKeys,
    /// The shard was damaged when its state was last read.
    is_damaged: AtomicBool,
    tail: Mutex<Tail>,
    /// Of the shard's owner, if it is this process.
    router: RwLock<Option<Arc<dyn EventRouter>>>,
    /// Read when it is needed first: it never changes.
    pub(crate) position_key: OnceCell<PositionKey>,
}

impl LocalShard {
    /// A shard whose state has not been read yet.
    pub(crate) fn new() -> LocalShard {
        let (tail, router, commits, ended_keys, is_damaged) = Default::default();
        let position = watch::Sender::new(Position::START);
        let position_key = OnceCell::new();
        LocalShard { position, commits, ended_keys, is_damaged, tail, router, position_key }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Notes whether the shard is damaged; returns whether it was before.
    pub(crate) fn set_damaged(&self, is_damaged: bool) -> bool {
        self.is_damaged.swap(is_damaged, Ordering::Relaxed)
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn router(&self) -> Option<Arc<dyn EventRouter>> {
        self.router.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_router(&self, router: Arc<dyn EventRouter>) {
        *self.router.write().unwrap_or_else(PoisonError::into_inner) = Some(router);
    }

    /// Removes a router, unless another one has taken its place.
    pub(crate) fn remove_router(&self, router: &Arc<dyn EventRouter>) {
        let mut current = self.router.write().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|current| Arc::ptr_eq(current, router));
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

//! How a process learns of records that other processes append.

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::SLOW_POLL;
use crate::log::shards::Shards;

/// Raises positions as other processes announce them.
pub(crate) async fn listen(shards: Arc<Shards>, mut hints: mpsc::Receiver<(Shard, Position)>) {
    while let Some((shard, position)) = hints.recv().await {
        if shard.0 < shards.store().shard_count() {
            shards.local(shard).raise(position);
        }
    }
}

/// Reads the positions of the shards that somebody follows every [`SLOW_POLL`], because
/// announcements may be lost. A task of its own: a slow database must not delay announcements.
pub(crate) async fn poll_slowly(shards: Arc<Shards>) {
    let mut slow_poll = interval(SLOW_POLL);
    slow_poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        slow_poll.tick().await;
        for shard in shards.numbers() {
            if shards.local(shard).position.receiver_count() > 0 {
                // A position that cannot be read now is read the next time.
                _ = shards.read_state(shard).await;
            }
        }
    }
}

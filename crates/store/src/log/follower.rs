//! Following a shard's log as it grows, without polling.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::watch;

use crate::error::StoreError;
use crate::log::operation::Record;
use crate::log::shards::Shards;

/// How often a record is looked for that the database no longer has.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Follows a shard's log as it grows, without polling.
pub struct Follower {
    shards: Arc<Shards>,
    shard: Shard,
    after: Position,
    position: watch::Receiver<Position>,
}

impl Follower {
    pub(crate) fn new(shards: Arc<Shards>, shard: Shard, after: Position) -> Follower {
        let position = shards.watch(shard);
        Follower { shards, shard, after, position }
    }

    /// The position of the last record that was read.
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next records, at least one, at most `limit`; waits until there are some. Cancel safe.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Record>>, StoreError> {
        loop {
            let after = self.after;
            // The sender lives as long as the shards, which we hold.
            let _ = self.position.wait_for(|position| *position > after).await;
            let records = self.shards.read(self.shard, after, limit).await?;
            if let Some(last) = records.last() {
                self.after = last.position;
                return Ok(records);
            }
            // The known position is not in the log: the log is damaged, or was set back by a
            // failover.
            self.shards.read_state(self.shard).await?;
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

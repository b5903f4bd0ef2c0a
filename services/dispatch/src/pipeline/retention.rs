//! Retention: deletes expired bodies every few hours, a bounded number at a time.
//!
//! Decision: docs/decisions/bodies-are-not-in-the-log.md

use std::sync::Arc;
use std::time::Duration;

use super::owned_shard::OwnedShard;

/// How long expired bodies remain at most; reads leave them out at once.
const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);
const DELETED_AT_ONCE: usize = 500;
/// Between two deletions, so that appends get their turn.
const DELETION_GAP: Duration = Duration::from_millis(50);

pub(crate) async fn run(shard: Arc<OwnedShard>) {
    let stop = shard.stop.clone();
    stop.run_until_cancelled(async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            delete_expired(&shard).await;
        }
    })
    .await;
}

async fn delete_expired(shard: &OwnedShard) {
    let number = shard.lease.shard();
    let mut total = 0;
    loop {
        match shard.log.store().delete_expired_bodies(number, DELETED_AT_ONCE).await {
            Ok(deleted) => {
                total += deleted;
                if deleted < DELETED_AT_ONCE {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(shard = %number, %error, "cannot delete expired bodies, trying again later");
                break;
            }
        }
        tokio::time::sleep(DELETION_GAP).await;
    }
    if total > 0 {
        tracing::info!(shard = %number, bodies = total, "deleted bodies that had expired");
    }
}

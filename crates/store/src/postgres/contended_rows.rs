//! Shards whose row somebody else holds for too long: a process that stopped in the middle of a
//! transaction, or a person with a prompt.
//!
//! A transaction that waits for such a row occupies one of a few connections, which the other
//! shards' batches need. So the next transactions of the shard wait only briefly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::PgConnection;

use super::errors::{is_lock_timeout, store_error};
use super::session::lock_timeout;
use crate::error::StoreError;

/// How long a transaction waits for a contended row.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// For each shard, whether its row is contended: the last transaction could not lock it in time.
pub(super) struct ContendedRows(Vec<AtomicBool>);

impl ContendedRows {
    pub(super) fn new(shard_count: u16) -> ContendedRows {
        ContendedRows((0..shard_count).map(|_| AtomicBool::new(false)).collect())
    }

    pub(super) fn is_contended(&self, shard: Shard) -> bool {
        self.0[usize::from(shard.0)].load(Ordering::Relaxed)
    }

    /// Shortens the transaction's wait if the row is contended.
    pub(super) async fn limit_wait(
        &self,
        shard: Shard,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        if !self.is_contended(shard) {
            return Ok(());
        }
        let query = sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(lock_timeout(LOCK_TIMEOUT));
        query.execute(connection).await.map(drop).map_err(store_error)
    }

    /// Notes whether a transaction could lock the row.
    pub(super) fn note<T>(&self, shard: Shard, outcome: &Result<T, StoreError>) {
        let is_contended = match outcome {
            Ok(_) => false,
            Err(error) if is_lock_timeout(error) => true,
            Err(_) => return,
        };
        self.0[usize::from(shard.0)].store(is_contended, Ordering::Relaxed);
    }
}

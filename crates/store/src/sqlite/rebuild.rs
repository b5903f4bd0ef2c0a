//! Rebuilds the projections from the log, with the same functions that appends use.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::errors::{commit_error, store_error};
use super::log_reads;
use super::write::{ShardReads, ShardWrites};
use super::writer::begin;
use crate::error::StoreError;
use crate::limits::REBUILD_STEP;
use crate::log::integrity::LogVerifier;
use crate::sql::fold_records;
use crate::tables::{self, projections};

pub(super) async fn rebuild(
    connection: &mut SqliteConnection,
    shard: Shard,
    now: Timestamp,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut transaction = begin(connection).await?;
    for table in projections() {
        if let Some(newest) = table.select_newest("?") {
            let newest = sqlx::query_scalar(AssertSqlSafe(newest)).bind(i64::from(shard.0));
            table.check_newest(newest.fetch_one(&mut *transaction).await.map_err(store_error)?)?;
        }
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {} WHERE shard = ?", table.name)))
            .bind(i64::from(shard.0))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
    }
    fold_log(&mut transaction, shard, now, progress).await?;
    transaction.commit().await.map_err(commit_error)
}

/// Folds the whole log into empty tables, step by step, so that memory does not grow with the log.
/// A damaged log is an error. `now` is the database's time.
pub(super) async fn fold_log(
    connection: &mut SqliteConnection,
    shard: Shard,
    now: Timestamp,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let state = log_reads::shard_state(&mut *connection, shard, now).await?;
    let mut verifier = LogVerifier::new(state);
    loop {
        let after = verifier.position();
        let records = log_reads::read_judged(&mut *connection, shard, after, REBUILD_STEP).await?;
        if records.is_empty() {
            return verifier.end().map_err(|damage| damage.of(shard));
        }
        verifier.accept(&records).map_err(|damage| damage.of(shard))?;
        let mut reads = ShardReads { connection: &mut *connection, shard };
        let changes = fold_records(&mut reads, shard, &records).await?;
        let mut writes = ShardWrites::begin(shard);
        tables::write_changes(&mut writes, &changes).map_err(store_error)?;
        writes.run(connection).await.map_err(store_error)?;
        progress(verifier.position());
    }
}

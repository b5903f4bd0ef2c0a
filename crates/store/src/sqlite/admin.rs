//! Small writes, each a transaction of its own.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use sqlx::SqliteConnection;

use super::errors::{commit_failed, failed};
use super::writer::begin;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::tables::micros;

/// Begins the shard's next epoch.
pub(super) async fn next_epoch(
    connection: &mut SqliteConnection,
    shard: Shard,
) -> Result<Epoch, StoreError> {
    let mut transaction = begin(connection).await?;
    let (epoch,): (i64,) =
        sqlx::query_as("UPDATE shards SET epoch = epoch + 1 WHERE shard = ? RETURNING epoch")
            .bind(number(shard))
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
    transaction.commit().await.map_err(commit_failed)?;
    Ok(Epoch(epoch))
}

pub(super) async fn delete_expired_bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut transaction = begin(connection).await?;
    let deleted = sqlx::query(
        "DELETE FROM bodies
         WHERE rowid IN (
             SELECT rowid FROM bodies
             WHERE shard = ? AND expire_time <= ?
             ORDER BY expire_time
             LIMIT ?
         )",
    )
    .bind(number(shard))
    .bind(micros(now))
    .bind(sql_limit(limit))
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(commit_failed)?;
    Ok(deleted.rows_affected() as usize)
}

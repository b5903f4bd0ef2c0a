//! The bodies of events and of answers.

use std::collections::HashMap;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::{commit_error, store_error};
use super::set_statement::{SetStatement, Values};
use super::writer::begin;
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::sql::row_limit;
use crate::tables::micros;

pub(super) static BODIES: SetStatement = SetStatement::new(
    1,
    "WITH wanted (id) AS (VALUES {rows})
     SELECT id, content
     FROM wanted CROSS JOIN bodies USING (id)
     WHERE bodies.shard = ? AND bodies.expire_time > ?",
);

pub(super) async fn read(
    connection: &mut SqliteConnection,
    shard: Shard,
    ids: &[BodyId],
    now: Timestamp,
) -> Result<HashMap<BodyId, Bytes>, StoreError> {
    let bind = |values: &mut Values, id: &BodyId| values.push(id.to_string());
    let found: Vec<(String, Vec<u8>)> = BODIES
        .fetch(connection, ids.iter(), bind, &[i64::from(shard.0), micros(now)])
        .await
        .map_err(store_error)?;
    let bodies = found.into_iter().map(|(id, content)| {
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("body {id}")))?;
        Ok((id, content.into()))
    });
    bodies.collect()
}

pub(super) async fn delete_expired(
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
    .bind(i64::from(shard.0))
    .bind(micros(now))
    .bind(row_limit(limit))
    .execute(&mut *transaction)
    .await
    .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(deleted.rows_affected() as usize)
}

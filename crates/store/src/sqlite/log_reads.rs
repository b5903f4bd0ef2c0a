//! The log and the bodies, read.

use std::collections::HashMap;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use sqlx::{SqliteConnection, SqliteExecutor};

use super::errors::failed;
use super::set_statement::{SetStatement, Values};
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::log::operation::{AppendOutcome, BodyId, Record};
use crate::sql::rows::ShardStateRow;
use crate::store::ShardState;
use crate::tables::{ReadableRow, Stored, micros, read_all, time};

pub(super) static OPERATIONS: SetStatement = SetStatement::new(
    1,
    "SELECT operation_id, MIN(position), MAX(position), MIN(recorded_at)
     FROM records
     WHERE operation_id IN (VALUES {rows}) AND shard = ? AND position > ?
     GROUP BY operation_id",
);

pub(super) static BODIES: SetStatement = SetStatement::new(
    1,
    "WITH wanted (id) AS (VALUES {rows})
     SELECT id, content
     FROM wanted CROSS JOIN bodies USING (id)
     WHERE bodies.shard = ? AND bodies.expire_time > ?",
);

pub(super) async fn read(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let found: Vec<Stored<Record>> = sqlx::query_as(
        "SELECT position, stream, version, organization_id, data, metadata, recorded_at,
                operation_id
         FROM records
         WHERE shard = ? AND position > ?
         ORDER BY position
         LIMIT ?",
    )
    .bind(number(shard))
    .bind(after.0)
    .bind(sql_limit(limit))
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    read_all(found)
}

pub(super) async fn read_stream(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
    stream: Stream,
    after: Version,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let found: Vec<Stored<Record>> = sqlx::query_as(
        "SELECT position, stream, version, organization_id, data, metadata, recorded_at,
                operation_id
         FROM records
         WHERE shard = ? AND stream = ? AND version > ?
         ORDER BY version
         LIMIT ?",
    )
    .bind(number(shard))
    .bind(stream.to_string())
    .bind(after.0)
    .bind(sql_limit(limit))
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    read_all(found)
}

/// Reads only what comes after `after`: there is no index of operations, which are looked up
/// only when an answer was lost.
pub(super) async fn find_operations(
    connection: &mut SqliteConnection,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
    let bind = |values: &mut Values, id: &OperationId| values.push(id.to_string());
    let found: Vec<(String, i64, i64, i64)> = OPERATIONS
        .fetch(connection, operations.iter(), bind, &[number(shard), after.0])
        .await
        .map_err(failed)?;
    let appended = found.into_iter().map(|(id, first, last, recorded_at)| {
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("operation {id}")))?;
        let recorded_at = time(recorded_at)?;
        Ok((
            id,
            AppendOutcome::Appended { first: Position(first), last: Position(last), recorded_at },
        ))
    });
    appended.collect()
}

pub(super) async fn shard_state(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
    now: Timestamp,
) -> Result<ShardState, StoreError> {
    let row: ShardStateRow = sqlx::query_as(
        "SELECT last_position, checkpoint, epoch, steady_time,
                ? - steady_time_noted_at AS steady_time_age
         FROM shards
         WHERE shard = ?",
    )
    .bind(micros(now))
    .bind(number(shard))
    .fetch_one(executor)
    .await
    .map_err(failed)?;
    row.value()
}

pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    ids: &[BodyId],
    now: Timestamp,
) -> Result<HashMap<BodyId, Bytes>, StoreError> {
    let bind = |values: &mut Values, id: &BodyId| values.push(id.to_string());
    let found: Vec<(String, Vec<u8>)> = BODIES
        .fetch(connection, ids.iter(), bind, &[number(shard), micros(now)])
        .await
        .map_err(failed)?;
    let bodies = found.into_iter().map(|(id, content)| {
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("body {id}")))?;
        Ok((id, content.into()))
    });
    bodies.collect()
}

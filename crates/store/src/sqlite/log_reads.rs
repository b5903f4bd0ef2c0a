//! Reads of the log.

use std::collections::HashMap;
use std::sync::LazyLock;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor};

use super::errors::store_error;
use super::set_statement::{SetStatement, Values};
use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::damage::LogDamage;
use crate::log::integrity::judge_positions;
use crate::log::operation::{AppendOutcome, Record};
use crate::sql::row_limit;
use crate::sql::rows::{OperationRow, ShardStateRow};
use crate::store::ShardState;
use crate::tables::{Entity, JudgedRecord, Stored, micros, read_all};

pub(super) static OPERATIONS: SetStatement = SetStatement::new(
    1,
    "SELECT operation_id, MIN(position) AS first_position, MAX(position) AS last_position,
            MIN(recorded_at) AS recorded_at
     FROM records
     WHERE operation_id IN (VALUES {rows}) AND shard = ? AND position > ?
     GROUP BY operation_id",
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
    .bind(i64::from(shard.0))
    .bind(after.0)
    .bind(row_limit(limit))
    .fetch_all(executor)
    .await
    .map_err(store_error)?;
    let records = read_all(found)?;
    judge_positions(after, &records).map_err(|damage| damage.of(shard))?;
    Ok(records)
}

/// The same, for a rebuild or a check, which judges every column.
pub(super) async fn read_judged(
    connection: &mut SqliteConnection,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    static SELECT: LazyLock<String> = LazyLock::new(|| {
        let columns = Record::TABLE.all_columns();
        format!(
            "SELECT {columns} FROM records WHERE shard = ? AND position > ? ORDER BY position LIMIT ?"
        )
    });
    let found: Vec<JudgedRecord> = sqlx::query_as(AssertSqlSafe(SELECT.as_str()))
        .bind(i64::from(shard.0))
        .bind(after.0)
        .bind(row_limit(limit))
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    JudgedRecord::read_all(found, shard)
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
    .bind(i64::from(shard.0))
    .bind(stream.to_string())
    .bind(after.0)
    .bind(row_limit(limit))
    .fetch_all(executor)
    .await
    .map_err(store_error)?;
    read_all(found)
}

/// Reads all records after `after`: there is no index of operations, which are looked up only when
/// the answer to a commit was lost.
pub(super) async fn find_operations(
    connection: &mut SqliteConnection,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
    let bind = |values: &mut Values, id: &OperationId| values.push(id.to_string());
    let rows: Vec<OperationRow> = OPERATIONS
        .fetch(connection, operations.iter(), bind, &[i64::from(shard.0), after.0])
        .await
        .map_err(store_error)?;
    Ok(read_all(rows)?.into_iter().collect())
}

/// Reads a row of the file, whatever it says.
pub(super) async fn answers(executor: impl SqliteExecutor<'_>) -> Result<(), StoreError> {
    sqlx::query("SELECT epoch FROM shards LIMIT 1")
        .fetch_optional(executor)
        .await
        .map(drop)
        .map_err(store_error)
}

pub(super) async fn shard_state(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
    now: Timestamp,
) -> Result<ShardState, StoreError> {
    let row: Option<ShardStateRow> = sqlx::query_as(
        "SELECT last_position, checkpoint, epoch, steady_time, steady_time_noted_at, ?1 AS now,
                (SELECT max(position) FROM records WHERE records.shard = ?2) AS last_record
         FROM shards
         WHERE shard = ?2",
    )
    .bind(micros(now))
    .bind(i64::from(shard.0))
    .fetch_optional(executor)
    .await
    .map_err(store_error)?;
    ShardStateRow::judge(row).map_err(|damage| damage.of(shard))
}

pub(super) async fn position_key(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
) -> Result<PositionKey, StoreError> {
    let key: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT position_key FROM shards WHERE shard = ?")
            .bind(i64::from(shard.0))
            .fetch_optional(executor)
            .await
            .map_err(store_error)?;
    PositionKey::stored(&key.ok_or_else(|| LogDamage::NoShardRow.of(shard))?)
}

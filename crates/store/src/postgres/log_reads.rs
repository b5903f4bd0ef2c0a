//! Reads of the log.

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use sqlx::{AssertSqlSafe, PgConnection};

use super::errors::store_error;
use super::pool::Pool;
use super::select::select;
use super::session::{Query, fetch, fetch_within};
use crate::error::StoreError;
use crate::log::PositionKey;
use crate::log::damage::LogDamage;
use crate::log::integrity::judge_positions;
use crate::log::operation::Record;
use crate::sql::row_limit;
use crate::sql::rows::ShardStateRow;
use crate::store::ShardState;
use crate::tables::{Entity, JudgedRecord, Stored, read_all};

const AFTER_POSITION: &str = "
    FROM records
    WHERE shard = $1 AND position > $2
    ORDER BY position
    LIMIT $3";

fn records_query(shard: Shard, after: Position, limit: usize) -> Query<'static, Stored<Record>> {
    sqlx::query_as(select::<Record>(AFTER_POSITION))
        .bind(i32::from(shard.0))
        .bind(after.0)
        .bind(row_limit(limit))
}

pub(super) async fn read(
    readers: &Pool,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let records = read_all(fetch(readers, records_query(shard, after, limit)).await?)?;
    judge_positions(after, &records).map_err(|damage| damage.of(shard))?;
    Ok(records)
}

/// The same, for a rebuild or a check, which judges every column.
pub(super) async fn read_judged(
    connection: &mut PgConnection,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let columns = Record::TABLE.all_columns();
    let select = AssertSqlSafe(format!("SELECT {columns} {AFTER_POSITION}"));
    let found: Vec<JudgedRecord> = sqlx::query_as(select)
        .bind(i32::from(shard.0))
        .bind(after.0)
        .bind(row_limit(limit))
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    JudgedRecord::read_all(found, shard)
}

pub(super) async fn read_stream(
    readers: &Pool,
    shard: Shard,
    stream: Stream,
    after: Version,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let query = sqlx::query_as::<_, Stored<Record>>(select::<Record>(
        "FROM records
         WHERE shard = $1 AND stream = $2 AND version > $3
         ORDER BY version
         LIMIT $4",
    ))
    .bind(i32::from(shard.0))
    .bind(stream.to_string())
    .bind(after.0)
    .bind(row_limit(limit));
    read_all(fetch(readers, query).await?)
}

pub(super) async fn answers(readers: &Pool, limit: Duration) -> Result<(), StoreError> {
    fetch_within(limit, readers, sqlx::query_as::<_, (i32,)>("SELECT 1")).await?;
    Ok(())
}

const SHARD_STATE: &str = "
    SELECT last_position, checkpoint, epoch, steady_time, steady_time_noted_at,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
           (SELECT max(position) FROM records WHERE records.shard = $1) AS last_record
    FROM shards
    WHERE shard = $1";

fn shard_state_query(shard: Shard) -> Query<'static, ShardStateRow> {
    sqlx::query_as(SHARD_STATE).bind(i32::from(shard.0))
}

pub(super) async fn shard_state(readers: &Pool, shard: Shard) -> Result<ShardState, StoreError> {
    let row = fetch(readers, shard_state_query(shard)).await?.pop();
    ShardStateRow::judge(row).map_err(|damage| damage.of(shard))
}

/// The same in a transaction.
pub(super) async fn shard_state_on(
    connection: &mut PgConnection,
    shard: Shard,
) -> Result<ShardState, StoreError> {
    let row = shard_state_query(shard).fetch_optional(connection).await.map_err(store_error)?;
    ShardStateRow::judge(row).map_err(|damage| damage.of(shard))
}

pub(super) async fn position_key(readers: &Pool, shard: Shard) -> Result<PositionKey, StoreError> {
    let query = sqlx::query_as::<_, (Vec<u8>,)>("SELECT position_key FROM shards WHERE shard = $1");
    let row = fetch(readers, query.bind(i32::from(shard.0))).await?.pop();
    PositionKey::stored(&row.ok_or_else(|| LogDamage::NoShardRow.of(shard))?.0)
}

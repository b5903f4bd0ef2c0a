//! Reads of the log.

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};

use super::pool::Pool;
use super::select::select;
use super::session::{Query, fetch, fetch_within};
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::sql::row_limit;
use crate::sql::rows::ShardStateRow;
use crate::store::ShardState;
use crate::tables::{ReadableRow, Stored, read_all};

/// Records after a position. A rebuild runs the query in its transaction.
pub(super) fn records_query(
    shard: Shard,
    after: Position,
    limit: usize,
) -> Query<'static, Stored<Record>> {
    sqlx::query_as(select::<Record>(
        "FROM records
         WHERE shard = $1 AND position > $2
         ORDER BY position
         LIMIT $3",
    ))
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
    read_all(fetch(readers, records_query(shard, after, limit)).await?)
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

pub(super) async fn shard_state(readers: &Pool, shard: Shard) -> Result<ShardState, StoreError> {
    let query = sqlx::query_as::<_, ShardStateRow>(
        "SELECT last_position, checkpoint, epoch, steady_time,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - steady_time_noted_at
                    AS steady_time_age
         FROM shards
         WHERE shard = $1",
    )
    .bind(i32::from(shard.0));
    let found = fetch(readers, query).await?.pop();
    found.ok_or_else(|| StoreError::Failed("there is no such shard".into()))?.value()
}

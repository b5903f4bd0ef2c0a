//! Reading the log, bodies, and single things. Lists with filters are in [`super::lists`].

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};

use super::open::MIGRATIONS;
use super::pool::Pool;
use super::select::select;
use super::session::{Query, change, fetch, fetch_within};
use crate::error::StoreError;
use crate::log::operation::{BodyId, Record};
use crate::sql::rows::ShardStateRow;
use crate::store::{ShardState, TableVersions};
use crate::tables::{ReadableRow, Stored, read_all};

/// A limit as LIMIT takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads records after a position. A rebuild reads them in its transaction.
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
    .bind(rows(limit))
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
    .bind(rows(limit));
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

pub(super) async fn bodies(
    readers: &Pool,
    shard: Shard,
    ids: &[BodyId],
) -> Result<HashMap<BodyId, Bytes>, StoreError> {
    let by_text: HashMap<_, _> = ids.iter().map(|id| (id.to_string(), *id)).collect();
    let query = sqlx::query_as::<_, (String, Vec<u8>)>(
        "SELECT id, content
         FROM bodies
         WHERE shard = $1 AND id = ANY ($2)
           AND expire_time > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    )
    .bind(i32::from(shard.0))
    .bind(by_text.keys().map(String::as_str).collect::<Vec<_>>());
    let found = fetch(readers, query).await?.into_iter();
    Ok(found.filter_map(|(id, content)| Some((*by_text.get(&id)?, content.into()))).collect())
}

/// Processes may do this at once: what one of them is deleting, the others leave to it.
pub(super) async fn delete_expired_bodies(
    writers: &Pool,
    shard: Shard,
    limit: usize,
) -> Result<usize, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH deleted AS (
             DELETE FROM bodies
             WHERE shard = $1 AND id = ANY (ARRAY(
                 SELECT id
                 FROM bodies
                 WHERE shard = $1
                   AND expire_time <=
                       (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
                 ORDER BY expire_time
                 LIMIT $2
                 FOR UPDATE SKIP LOCKED
             ))
             RETURNING id
         )
         SELECT count(*) FROM deleted",
    )
    .bind(i32::from(shard.0))
    .bind(rows(limit));
    let count = change(writers, query).await?.first().map_or(0, |(count,)| *count);
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) async fn table_versions(readers: &Pool) -> Result<TableVersions, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT coalesce(max(version), 0)
         FROM _sqlx_migrations
         WHERE success",
    );
    let found = fetch(readers, query).await?.first().map_or(0, |(version,)| *version);
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(TableVersions { found, needed })
}

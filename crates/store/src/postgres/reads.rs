//! Reading the log, bodies, and single things. Lists with filters are in [`super::lists`].

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::open::MIGRATIONS;
use super::pool::Pool;
use super::select::select;
use super::session::{Query, change, fetch, fetch_within};
use crate::error::StoreError;
use crate::log::operation::{BodyId, Record};
use crate::log::projection::{CountKey, Missed};
use crate::queries::rows::ShardStateRow;
use crate::store::{DueKey, DuePage, ShardState, TableVersions, WaitingEndpoints};
use crate::tables::{ReadableRow, Stored, micros, read_all, time};

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

pub(super) async fn shard_endpoints(
    readers: &Pool,
    shard: Shard,
    after: EndpointId,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    let query = sqlx::query_as::<_, Stored<Endpoint>>(select::<Endpoint>(
        "FROM endpoints
         WHERE shard = $1 AND endpoint_id > $2
         ORDER BY endpoint_id
         LIMIT $3",
    ))
    .bind(i32::from(shard.0))
    .bind(after.to_string())
    .bind(rows(limit));
    read_all(fetch(readers, query).await?)
}

pub(super) async fn attempt_counts(
    readers: &Pool,
    shard: Shard,
    endpoint: EndpointId,
    from_hour: Timestamp,
) -> Result<Vec<(CountKey, u64)>, StoreError> {
    let query = sqlx::query_as::<_, Stored<(CountKey, u64)>>(
        "SELECT endpoint_id, hour, outcome, duration_bucket, count
         FROM attempt_counts
         WHERE shard = $1 AND endpoint_id = $2 AND hour >= $3
         ORDER BY hour, outcome, duration_bucket",
    )
    .bind(i32::from(shard.0))
    .bind(endpoint.to_string())
    .bind(micros(from_hour));
    read_all(fetch(readers, query).await?)
}

pub(super) async fn missed_events(
    readers: &Pool,
    shard: Shard,
    endpoint: EndpointId,
    after: Position,
    limit: usize,
) -> Result<Vec<Missed>, StoreError> {
    let query = sqlx::query_as::<_, Stored<Missed>>(
        "SELECT organization_id, endpoint_id, event_id, position
         FROM missed_events
         WHERE shard = $1 AND endpoint_id = $2 AND position > $3
         ORDER BY position
         LIMIT $4",
    )
    .bind(i32::from(shard.0))
    .bind(endpoint.to_string())
    .bind(after.0)
    .bind(rows(limit));
    read_all(fetch(readers, query).await?)
}

/// Rows with the shard's last position in their snapshot, which is there even if they are not.
struct AsOf<T> {
    position: i64,
    row: Option<T>,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for AsOf<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let found: bool = row.try_get("found")?;
        let position = row.try_get("last_position")?;
        Ok(AsOf { position, row: found.then(|| T::from_row(row)).transpose()? })
    }
}

fn split<T>(rows: Vec<AsOf<T>>) -> (Position, Vec<T>) {
    let position = rows.first().map_or(Position::START, |row| Position(row.position));
    (position, rows.into_iter().filter_map(|row| row.row).collect())
}

/// One statement, so one snapshot.
pub(super) async fn due_deliveries(
    readers: &Pool,
    shard: Shard,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> Result<DuePage, StoreError> {
    let query = sqlx::query_as::<_, AsOf<Stored<Delivery>>>(
        "SELECT shards.last_position, due.delivery_id IS NOT NULL AS found, due.*
         FROM shards
         LEFT JOIN LATERAL (
             SELECT organization_id, delivery_id, event_id, event_type, event_time, endpoint_id,
                    state, attempt_count, automatic_count, next_attempt_time, steady_due_time,
                    retry_request_time, retry_traceparent, replay_traceparent, due_time,
                    traceparent, tracestate, create_time, cancel_reason, version
             FROM deliveries
             WHERE shard = $1 AND endpoint_id = $2 AND due_time IS NOT NULL
               AND (due_time, delivery_id) > ($3, $4)
             ORDER BY due_time, delivery_id
             LIMIT $5
         ) AS due ON true
         WHERE shards.shard = $1
         ORDER BY due.due_time, due.delivery_id",
    )
    .bind(i32::from(shard.0))
    .bind(endpoint.to_string())
    .bind(micros(after.due_time))
    .bind(after.delivery_id.to_string())
    .bind(rows(limit));
    let (as_of, rows) = split(fetch(readers, query).await?);
    Ok(DuePage { as_of, deliveries: read_all(rows)? })
}

/// Goes from endpoint to endpoint through the index of what is due, and so takes a look for
/// each endpoint, not for each delivery. One statement, so one snapshot.
pub(super) async fn waiting_endpoints(
    readers: &Pool,
    shard: Shard,
) -> Result<WaitingEndpoints, StoreError> {
    let query = sqlx::query_as::<_, AsOf<(String, i64)>>(
        "WITH RECURSIVE waiting AS (
             (
                 SELECT endpoint_id, due_time
                 FROM deliveries
                 WHERE shard = $1 AND due_time IS NOT NULL
                 ORDER BY endpoint_id, due_time
                 LIMIT 1
             )
             UNION ALL
             SELECT next.endpoint_id, next.due_time
             FROM waiting
             CROSS JOIN LATERAL (
                 SELECT endpoint_id, due_time
                 FROM deliveries
                 WHERE shard = $1 AND due_time IS NOT NULL
                   AND endpoint_id > waiting.endpoint_id
                 ORDER BY endpoint_id, due_time
                 LIMIT 1
             ) AS next
         )
         SELECT waiting.endpoint_id, waiting.due_time, shards.last_position,
                waiting.endpoint_id IS NOT NULL AS found
         FROM shards
         LEFT JOIN waiting ON true
         WHERE shards.shard = $1
         ORDER BY waiting.endpoint_id",
    )
    .bind(i32::from(shard.0));
    let (as_of, rows) = split(fetch(readers, query).await?);
    let endpoints = rows.into_iter().map(|(id, due_time)| {
        let unreadable = |_| StoreError::Unreadable(format!("endpoint {id}"));
        Ok((id.parse().map_err(unreadable)?, time(due_time)?))
    });
    Ok(WaitingEndpoints { as_of, endpoints: endpoints.collect::<Result<_, StoreError>>()? })
}

pub(super) async fn count_waiting(readers: &Pool, shard: Shard) -> Result<u64, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(*)
         FROM deliveries
         WHERE shard = $1 AND due_time IS NOT NULL",
    )
    .bind(i32::from(shard.0));
    Ok(fetch(readers, query).await?.first().map_or(0, |(count,)| count.unsigned_abs()))
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

//! What waits for an attempt, read together with the position that it is the truth of.

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::pool::Pool;
use super::reads::rows;
use super::session::fetch;
use crate::error::StoreError;
use crate::store::{DueKey, DuePage, WaitingEndpoints};
use crate::tables::{Stored, micros, read_all, time};

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
pub(super) async fn page(
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
pub(super) async fn endpoints(
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

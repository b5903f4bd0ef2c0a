//! What waits for an attempt, read together with the position that it is the truth of.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqlitePool};

use super::errors::failed;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::store::{DueKey, DuePage, WaitingEndpoints};
use crate::tables::{Stored, micros, time};

/// One statement, so that the page and the position are of one snapshot.
pub(super) async fn page(
    readers: &SqlitePool,
    shard: Shard,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> Result<DuePage, StoreError> {
    let found: Vec<DueRow> = sqlx::query_as(
        "SELECT shards.last_position, due.*
         FROM shards LEFT JOIN (
             SELECT * FROM deliveries INDEXED BY deliveries_due
             WHERE shard = ? AND endpoint_id = ? AND due_time IS NOT NULL
               AND (due_time, delivery_id) > (?, ?)
             ORDER BY due_time, delivery_id
             LIMIT ?
         ) AS due
         WHERE shards.shard = ?
         ORDER BY due.due_time, due.delivery_id",
    )
    .bind(number(shard))
    .bind(endpoint.to_string())
    .bind(micros(after.due_time))
    .bind(after.delivery_id.to_string())
    .bind(sql_limit(limit))
    .bind(number(shard))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let as_of = found.first().map_or(Position::START, |row| Position(row.last_position));
    let rows = found.into_iter().filter_map(|row| row.delivery);
    let deliveries = rows.map(Stored::value).collect::<Result<_, _>>()?;
    Ok(DuePage { as_of, deliveries })
}

/// A delivery, or none: then the row is there for the position only.
struct DueRow {
    last_position: i64,
    delivery: Option<Stored<Delivery>>,
}

impl FromRow<'_, SqliteRow> for DueRow {
    fn from_row(row: &SqliteRow) -> Result<DueRow, sqlx::Error> {
        let delivery_id: Option<&str> = row.try_get("delivery_id")?;
        let delivery = delivery_id.map(|_| Stored::from_row(row)).transpose()?;
        Ok(DueRow { last_position: row.try_get("last_position")?, delivery })
    }
}

/// Leaps through the index from endpoint to endpoint, so that a million waiting deliveries of
/// one endpoint cost no more than one.
pub(super) async fn endpoints(
    readers: &SqlitePool,
    shard: Shard,
) -> Result<WaitingEndpoints, StoreError> {
    let found: Vec<(i64, Option<String>, Option<i64>)> = sqlx::query_as(
        "WITH RECURSIVE
             waiting (shard, endpoint_id) AS (
                 SELECT shard, (
                     SELECT MIN(endpoint_id) FROM deliveries INDEXED BY deliveries_due
                     WHERE shard = shards.shard AND due_time IS NOT NULL
                 )
                 FROM shards
                 WHERE shard = ?
                 UNION ALL
                 SELECT shard, (
                     SELECT MIN(endpoint_id) FROM deliveries INDEXED BY deliveries_due
                     WHERE shard = waiting.shard AND due_time IS NOT NULL
                       AND endpoint_id > waiting.endpoint_id
                 )
                 FROM waiting
                 WHERE endpoint_id IS NOT NULL
             )
         SELECT last_position, endpoint_id, (
             SELECT MIN(due_time) FROM deliveries INDEXED BY deliveries_due
             WHERE shard = waiting.shard AND due_time IS NOT NULL
               AND endpoint_id = waiting.endpoint_id
         )
         FROM shards JOIN waiting USING (shard)",
    )
    .bind(number(shard))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let as_of =
        found.first().map_or(Position::START, |(last_position, ..)| Position(*last_position));
    let waiting = found.into_iter().filter_map(|(_, id, due_time)| Some((id?, due_time?)));
    let endpoints = waiting.map(|(id, due_time)| {
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("endpoint {id}")))?;
        Ok::<(EndpointId, Timestamp), StoreError>((id, time(due_time)?))
    });
    Ok(WaitingEndpoints { as_of, endpoints: endpoints.collect::<Result<_, _>>()? })
}

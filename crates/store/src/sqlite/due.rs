//! Deliveries that wait for an attempt.

use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqlitePool;

use super::errors::store_error;
use crate::error::StoreError;
use crate::sql::{self, RowWithPosition};
use crate::store::{DueKey, DuePage, WaitingEndpoints};

pub(super) async fn page(
    readers: &SqlitePool,
    shard: Shard,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> Result<DuePage, StoreError> {
    let mut query = sql::select_due_page(shard, endpoint, after, limit);
    let rows = query.build_query_as().fetch_all(readers).await;
    sql::due_page(rows.map_err(store_error)?)
}

/// Jumps through the index from endpoint to endpoint, so that a million waiting deliveries of one
/// endpoint cost no more than one.
pub(super) async fn endpoints(
    readers: &SqlitePool,
    shard: Shard,
) -> Result<WaitingEndpoints, StoreError> {
    let rows: Vec<RowWithPosition<(String, i64)>> = sqlx::query_as(
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
         SELECT endpoint_id, (
             SELECT MIN(due_time) FROM deliveries INDEXED BY deliveries_due
             WHERE shard = waiting.shard AND due_time IS NOT NULL
               AND endpoint_id = waiting.endpoint_id
         ), last_position, endpoint_id IS NOT NULL AS is_found
         FROM shards JOIN waiting USING (shard)",
    )
    .bind(i64::from(shard.0))
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    sql::waiting_endpoints(rows)
}

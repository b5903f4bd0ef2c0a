//! Deliveries that wait for an attempt.

use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::sql::{self, RowWithPosition};
use crate::store::{DueKey, DuePage, WaitingEndpoints};

pub(super) async fn page(
    readers: &Pool,
    shard: Shard,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> Result<DuePage, StoreError> {
    let mut query = sql::select_due_page(shard, endpoint, after, limit);
    sql::due_page(fetch(readers, query.build_query_as()).await?)
}

/// Jumps through the index from endpoint to endpoint, so that a million waiting deliveries of one
/// endpoint cost no more than one.
pub(super) async fn endpoints(
    readers: &Pool,
    shard: Shard,
) -> Result<WaitingEndpoints, StoreError> {
    let query = sqlx::query_as::<_, RowWithPosition<(String, i64)>>(
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
                waiting.endpoint_id IS NOT NULL AS is_found
         FROM shards
         LEFT JOIN waiting ON true
         WHERE shards.shard = $1
         ORDER BY waiting.endpoint_id",
    )
    .bind(i32::from(shard.0));
    sql::waiting_endpoints(fetch(readers, query).await?)
}

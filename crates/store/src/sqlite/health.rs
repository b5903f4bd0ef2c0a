//! How endpoints are doing: which ones only fail, and what their attempts came to.

use std::collections::HashMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqlitePool;

use super::errors::failed;
use super::number;
use crate::error::StoreError;
use crate::queries::rows::SumRow;
use crate::store::AttemptSum;
use crate::tables::{FailingEndpoint, Stored, micros, read_all};

pub(super) async fn failing_endpoints(
    readers: &SqlitePool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Failing>, StoreError> {
    let found: Vec<Stored<FailingEndpoint>> = sqlx::query_as(
        "SELECT organization_id, endpoint_id, since, delivery_id
         FROM failing_endpoints
         WHERE shard = ?1 AND (?2 IS NULL OR organization_id = ?2)",
    )
    .bind(number(shard))
    .bind(organization.map(OrganizationId::as_str))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let found = read_all(found)?;
    Ok(found.into_iter().map(|row: FailingEndpoint| (row.endpoint_id, row.failing)).collect())
}

pub(super) async fn attempt_sums(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    hours: Range<Timestamp>,
) -> Result<Vec<AttemptSum>, StoreError> {
    let found: Vec<SumRow> = sqlx::query_as(
        "SELECT endpoint_id, outcome, duration_bucket, sum(count) AS count
         FROM attempt_counts
         WHERE shard = ?1 AND hour >= ?3 AND hour < ?4
             AND endpoint_id IN (SELECT endpoint_id
                                 FROM endpoints
                                 WHERE shard = ?1 AND organization_id = ?2)
         GROUP BY endpoint_id, outcome, duration_bucket",
    )
    .bind(number(shard))
    .bind(organization.as_str())
    .bind(micros(hours.start))
    .bind(micros(hours.end))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    read_all(found)
}

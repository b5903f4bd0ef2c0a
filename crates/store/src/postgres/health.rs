//! How endpoints are doing: which ones only fail, and what their attempts came to.

use std::collections::HashMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::queries::rows::SumRow;
use crate::store::AttemptSum;
use crate::tables::{FailingEndpoint, Stored, micros, read_all};

pub(super) async fn failing_endpoints(
    readers: &Pool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Failing>, StoreError> {
    let query = sqlx::query_as::<_, Stored<FailingEndpoint>>(
        "SELECT organization_id, endpoint_id, since, delivery_id
         FROM failing_endpoints
         WHERE shard = $1 AND ($2::text IS NULL OR organization_id = $2)",
    )
    .bind(i32::from(shard.0))
    .bind(organization.map(OrganizationId::as_str));
    let found = read_all(fetch(readers, query).await?)?;
    Ok(found.into_iter().map(|row: FailingEndpoint| (row.endpoint_id, row.failing)).collect())
}

pub(super) async fn attempt_sums(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    hours: Range<Timestamp>,
) -> Result<Vec<AttemptSum>, StoreError> {
    let query = sqlx::query_as::<_, SumRow>(
        "SELECT endpoint_id, outcome, duration_bucket, sum(count)::bigint AS count
         FROM attempt_counts
         WHERE shard = $1 AND hour >= $3 AND hour < $4
             AND endpoint_id IN (SELECT endpoint_id
                                 FROM endpoints
                                 WHERE shard = $1 AND organization_id = $2)
         GROUP BY endpoint_id, outcome, duration_bucket",
    )
    .bind(i32::from(shard.0))
    .bind(organization.as_str())
    .bind(micros(hours.start))
    .bind(micros(hours.end));
    read_all(fetch(readers, query).await?)
}

//! How endpoints are doing: which ones only fail, and what their attempts came to.

use std::collections::HashMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::PgConnection;

use super::pool::Pool;
use super::session::fetch;
use super::write::column;
use crate::projection::HealthChange;
use crate::rows::{FailingRow, SumRow, micros, read_all};
use crate::store::{AttemptSum, StoreError};

/// Ends what is over, then begins what has begun, unless it had begun before.
pub(super) async fn write(
    connection: &mut PgConnection,
    shard: Shard,
    changes: &[(&(OrganizationId, EndpointId), &HealthChange)],
) -> Result<(), sqlx::Error> {
    let ended: Vec<_> =
        changes.iter().filter(|(_, change)| change.ended).map(|(key, _)| *key).collect();
    if !ended.is_empty() {
        sqlx::query(
            "DELETE FROM failing_endpoints
             USING unnest($2::text[], $3::text[]) AS over (organization_id, endpoint_id)
             WHERE failing_endpoints.shard = $1
                 AND failing_endpoints.organization_id = over.organization_id
                 AND failing_endpoints.endpoint_id = over.endpoint_id",
        )
        .bind(i32::from(shard.0))
        .bind(column(&ended, |(organization, _)| organization.as_str()))
        .bind(column(&ended, |(_, endpoint)| endpoint.to_string()))
        .execute(&mut *connection)
        .await?;
    }
    let began: Vec<_> =
        changes.iter().filter_map(|(key, change)| Some((*key, change.began?))).collect();
    if !began.is_empty() {
        sqlx::query(
            "INSERT INTO failing_endpoints (shard, organization_id, endpoint_id, since, delivery_id)
             SELECT $1, new.*
             FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) AS new
             ON CONFLICT (shard, organization_id, endpoint_id) DO NOTHING",
        )
        .bind(i32::from(shard.0))
        .bind(column(&began, |((organization, _), _)| organization.as_str()))
        .bind(column(&began, |((_, endpoint), _)| endpoint.to_string()))
        .bind(column(&began, |(_, failing)| micros(failing.since)))
        .bind(column(&began, |(_, failing)| failing.delivery_id.to_string()))
        .execute(connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn failing_endpoints(
    readers: &Pool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Failing>, StoreError> {
    let query = sqlx::query_as::<_, FailingRow>(
        "SELECT endpoint_id, since, delivery_id
         FROM failing_endpoints
         WHERE shard = $1 AND ($2::text IS NULL OR organization_id = $2)",
    )
    .bind(i32::from(shard.0))
    .bind(organization.map(OrganizationId::as_str));
    let found: Vec<(EndpointId, Failing)> = read_all(fetch(readers, query).await?)?;
    Ok(found.into_iter().collect())
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

//! How endpoints are doing: which ones only fail, and what their attempts came to.

use std::collections::HashMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::health::Failing;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::projection::Changes;
use crate::rows::{FailingRow, SumRow, micros, read_all};
use crate::store::{AttemptSum, StoreError};

static OVER: SetStatement = SetStatement::new(
    3,
    "DELETE FROM failing_endpoints
     WHERE (shard, organization_id, endpoint_id) IN (VALUES {rows})",
);

static BEGUN: SetStatement = SetStatement::new(
    5,
    "INSERT INTO failing_endpoints (shard, organization_id, endpoint_id, since, delivery_id)
     VALUES {rows}
     ON CONFLICT (shard, organization_id, endpoint_id) DO NOTHING",
);

/// Ends what is over, then begins what has begun, unless it had begun before.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let ended: Vec<_> =
        changes.health.iter().filter(|(_, change)| change.ended).map(|(key, _)| key).collect();
    let bind = |values: &mut Values, (organization, id): &(OrganizationId, EndpointId)| {
        values.push(number(shard));
        values.push(organization.as_str());
        values.push(id.to_string());
    };
    OVER.execute(connection, ended.into_iter(), bind).await?;
    let begun: Vec<_> =
        changes.health.iter().filter_map(|(key, change)| Some((key, change.began?))).collect();
    let bind = |values: &mut Values, (key, failing): (&(OrganizationId, EndpointId), Failing)| {
        bind(values, key);
        values.push(micros(failing.since));
        values.push(failing.delivery_id.to_string());
    };
    BEGUN.execute(connection, begun.into_iter(), bind).await
}

pub(super) async fn failing_endpoints(
    readers: &SqlitePool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Failing>, StoreError> {
    let found: Vec<FailingRow> = sqlx::query_as(
        "SELECT endpoint_id, since, delivery_id
         FROM failing_endpoints
         WHERE shard = ?1 AND (?2 IS NULL OR organization_id = ?2)",
    )
    .bind(number(shard))
    .bind(organization.map(OrganizationId::as_str))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let found: Vec<(EndpointId, Failing)> = read_all(found)?;
    Ok(found.into_iter().collect())
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

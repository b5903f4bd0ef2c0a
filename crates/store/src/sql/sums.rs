//! The statement that sums an organization's attempts.

use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::QueryBuilder;

use super::dialect::Dialect;
use crate::tables::Cell;

/// Sums the attempts of these hours at all endpoints of an organization, deleted ones included.
pub(crate) fn attempt_sums<DB: Dialect>(
    shard: Shard,
    organization: &OrganizationId,
    hours: Range<Timestamp>,
) -> QueryBuilder<DB> {
    // In Postgres the sum of bigints is numeric.
    let mut query = QueryBuilder::new(
        "SELECT endpoint_id, outcome, duration_bucket, CAST(sum(count) AS bigint) AS count
         FROM attempt_counts
         WHERE shard = ",
    );
    DB::bind_shard(&mut query, shard);
    query.push(" AND hour >= ");
    DB::bind(&mut query, &Cell::from(hours.start));
    query.push(" AND hour < ");
    DB::bind(&mut query, &Cell::from(hours.end));
    query.push(" AND endpoint_id IN (SELECT endpoint_id FROM endpoints WHERE shard = ");
    DB::bind_shard(&mut query, shard);
    query.push(" AND organization_id = ");
    DB::bind(&mut query, &Cell::from(organization));
    query.push(") GROUP BY endpoint_id, outcome, duration_bucket");
    query
}

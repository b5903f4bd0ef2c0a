//! Pauses that receivers have asked for.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::pause::Pause;
use sqlx::SqlitePool;

use super::errors::failed;
use super::number;
use crate::error::StoreError;
use crate::tables::{PausedEndpoint, Stored, read_all};

pub(super) async fn endpoint_pauses(
    readers: &SqlitePool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Pause>, StoreError> {
    let found: Vec<Stored<PausedEndpoint>> = sqlx::query_as(
        "SELECT organization_id, endpoint_id, start_time, end_time, delivery_id, status_code
         FROM endpoint_pauses
         WHERE shard = ?1 AND (?2 IS NULL OR organization_id = ?2)",
    )
    .bind(number(shard))
    .bind(organization.map(OrganizationId::as_str))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let found = read_all(found)?;
    Ok(found.into_iter().map(|row: PausedEndpoint| (row.endpoint_id, row.pause)).collect())
}

//! Pauses that receivers have asked for.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::pause::Pause;

use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::tables::{PausedEndpoint, Stored, read_all};

pub(super) async fn endpoint_pauses(
    readers: &Pool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Pause>, StoreError> {
    let query = sqlx::query_as::<_, Stored<PausedEndpoint>>(
        "SELECT organization_id, endpoint_id, start_time, end_time, delivery_id, status_code
         FROM endpoint_pauses
         WHERE shard = $1 AND ($2::text IS NULL OR organization_id = $2)",
    )
    .bind(i32::from(shard.0))
    .bind(organization.map(OrganizationId::as_str));
    let found = read_all(fetch(readers, query).await?)?;
    Ok(found.into_iter().map(|row: PausedEndpoint| (row.endpoint_id, row.pause)).collect())
}

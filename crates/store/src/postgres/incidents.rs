//! Incidents.

use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::queries::notifications::KnownIncident;
use crate::tables::Stored;
use crate::tables::read_all;

pub(super) async fn open_incidents(
    readers: &Pool,
    shard: Shard,
) -> Result<Vec<KnownIncident>, StoreError> {
    let query = sqlx::query_as::<_, Stored<KnownIncident>>(
        "SELECT organization_id, channel_id, endpoint_id, opened, closing, closed
         FROM incidents
         WHERE shard = $1 AND opened > closed",
    )
    .bind(i32::from(shard.0));
    read_all(fetch(readers, query).await?)
}

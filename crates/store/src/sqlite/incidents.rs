//! Incidents.

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqlitePool;

use super::errors::failed;
use super::number;
use crate::error::StoreError;
use crate::queries::notifications::KnownIncident;
use crate::tables::Stored;
use crate::tables::read_all;

pub(super) async fn open_incidents(
    readers: &SqlitePool,
    shard: Shard,
) -> Result<Vec<KnownIncident>, StoreError> {
    let found: Vec<Stored<KnownIncident>> = sqlx::query_as(
        "SELECT organization_id, channel_id, endpoint_id, opened, closing, closed
         FROM incidents INDEXED BY incidents_open
         WHERE shard = ? AND opened > closed",
    )
    .bind(number(shard))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    read_all(found)
}

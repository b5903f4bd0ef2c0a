//! Incidents.

use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::PgConnection;

use super::pool::Pool;
use super::session::fetch;
use super::write::column;
use crate::notification_store::{IncidentRow, KnownIncident};
use crate::projection::IncidentKey;
use crate::rows::read_all;
use crate::store::StoreError;

pub(super) async fn write(
    connection: &mut PgConnection,
    shard: Shard,
    incidents: &[(&IncidentKey, &Incident)],
) -> Result<(), sqlx::Error> {
    if incidents.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO incidents (shard, organization_id, channel_id, endpoint_id, opened, closing,
                                closed)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                     $7::bigint[]) AS new
         ON CONFLICT (shard, organization_id, channel_id, endpoint_id) DO UPDATE SET
             opened = greatest(incidents.opened, excluded.opened),
             closing = greatest(incidents.closing, excluded.closing),
             closed = greatest(incidents.closed, excluded.closed)",
    )
    .bind(i32::from(shard.0))
    .bind(column(incidents, |((organization, _, _), _)| organization.as_str()))
    .bind(column(incidents, |((_, channel, _), _)| channel.to_string()))
    .bind(column(incidents, |((_, _, endpoint), _)| endpoint.to_string()))
    .bind(column(incidents, |(_, incident)| incident.opened.0))
    .bind(column(incidents, |(_, incident)| incident.closing.0))
    .bind(column(incidents, |(_, incident)| incident.closed.0))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn open_incidents(
    readers: &Pool,
    shard: Shard,
) -> Result<Vec<KnownIncident>, StoreError> {
    let query = sqlx::query_as::<_, IncidentRow>(
        "SELECT organization_id, channel_id, endpoint_id, opened, closing, closed
         FROM incidents
         WHERE shard = $1 AND opened > closed",
    )
    .bind(i32::from(shard.0));
    read_all(fetch(readers, query).await?)
}

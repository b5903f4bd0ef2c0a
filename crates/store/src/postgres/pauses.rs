//! Pauses that receivers have asked for.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::pause::Pause;
use sqlx::PgConnection;

use super::pool::Pool;
use super::session::fetch;
use super::write::column;
use crate::projection::Changes;
use crate::rows::{PauseRow, micros, read_all};
use crate::store::StoreError;

pub(super) async fn write(
    connection: &mut PgConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let ended = changes.pauses.iter().filter(|(_, pause)| pause.is_none());
    let ended: Vec<_> = ended.map(|(key, _)| key).collect();
    if !ended.is_empty() {
        sqlx::query(
            "DELETE FROM endpoint_pauses
             USING unnest($2::text[], $3::text[]) AS ended (organization_id, endpoint_id)
             WHERE endpoint_pauses.shard = $1
                 AND endpoint_pauses.organization_id = ended.organization_id
                 AND endpoint_pauses.endpoint_id = ended.endpoint_id",
        )
        .bind(i32::from(shard.0))
        .bind(column(&ended, |(organization, _)| organization.as_str()))
        .bind(column(&ended, |(_, endpoint)| endpoint.to_string()))
        .execute(&mut *connection)
        .await?;
    }
    let begun = changes.pauses.iter().filter_map(|(key, pause)| Some((key, (*pause)?)));
    let begun: Vec<_> = begun.collect();
    if !begun.is_empty() {
        sqlx::query(
            "INSERT INTO endpoint_pauses
                 (shard, organization_id, endpoint_id, start_time, end_time, delivery_id,
                  status_code)
             SELECT $1, new.*
             FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
                         $7::integer[]) AS new
             ON CONFLICT (shard, organization_id, endpoint_id) DO UPDATE
             SET start_time = excluded.start_time,
                 end_time = excluded.end_time,
                 delivery_id = excluded.delivery_id,
                 status_code = excluded.status_code",
        )
        .bind(i32::from(shard.0))
        .bind(column(&begun, |((organization, _), _)| organization.as_str()))
        .bind(column(&begun, |((_, endpoint), _)| endpoint.to_string()))
        .bind(column(&begun, |(_, pause)| micros(pause.start_time)))
        .bind(column(&begun, |(_, pause)| micros(pause.end_time)))
        .bind(column(&begun, |(_, pause)| pause.delivery_id.to_string()))
        .bind(column(&begun, |(_, pause)| i32::from(pause.status_code)))
        .execute(connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn endpoint_pauses(
    readers: &Pool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Pause>, StoreError> {
    let query = sqlx::query_as::<_, PauseRow>(
        "SELECT endpoint_id, start_time, end_time, delivery_id, status_code
         FROM endpoint_pauses
         WHERE shard = $1 AND ($2::text IS NULL OR organization_id = $2)",
    )
    .bind(i32::from(shard.0))
    .bind(organization.map(OrganizationId::as_str));
    let found: Vec<(EndpointId, Pause)> = read_all(fetch(readers, query).await?)?;
    Ok(found.into_iter().collect())
}

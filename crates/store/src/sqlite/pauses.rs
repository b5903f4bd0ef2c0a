//! Pauses that receivers have asked for.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::pause::Pause;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::projection::Changes;
use crate::rows::{PauseRow, micros, read_all};
use crate::store::StoreError;

static ENDED: SetStatement = SetStatement::new(
    3,
    "DELETE FROM endpoint_pauses
     WHERE (shard, organization_id, endpoint_id) IN (VALUES {rows})",
);

static BEGUN: SetStatement = SetStatement::new(
    7,
    "INSERT INTO endpoint_pauses
         (shard, organization_id, endpoint_id, start_time, end_time, delivery_id, status_code)
     VALUES {rows}
     ON CONFLICT (shard, organization_id, endpoint_id) DO UPDATE
     SET start_time = excluded.start_time,
         end_time = excluded.end_time,
         delivery_id = excluded.delivery_id,
         status_code = excluded.status_code",
);

pub(super) async fn write(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let bind = |values: &mut Values, (organization, id): &(OrganizationId, EndpointId)| {
        values.push(number(shard));
        values.push(organization.as_str());
        values.push(id.to_string());
    };
    let ended = changes.pauses.iter().filter(|(_, pause)| pause.is_none()).map(|(key, _)| key);
    ENDED.execute(connection, ended.collect::<Vec<_>>().into_iter(), bind).await?;
    let begun = changes.pauses.iter().filter_map(|(key, pause)| Some((key, (*pause)?)));
    let bind = |values: &mut Values, (key, pause): (&(OrganizationId, EndpointId), Pause)| {
        bind(values, key);
        values.push(micros(pause.start_time));
        values.push(micros(pause.end_time));
        values.push(pause.delivery_id.to_string());
        values.push(i64::from(pause.status_code));
    };
    BEGUN.execute(connection, begun.collect::<Vec<_>>().into_iter(), bind).await
}

pub(super) async fn endpoint_pauses(
    readers: &SqlitePool,
    shard: Shard,
    organization: Option<&OrganizationId>,
) -> Result<HashMap<EndpointId, Pause>, StoreError> {
    let found: Vec<PauseRow> = sqlx::query_as(
        "SELECT endpoint_id, start_time, end_time, delivery_id, status_code
         FROM endpoint_pauses
         WHERE shard = ?1 AND (?2 IS NULL OR organization_id = ?2)",
    )
    .bind(number(shard))
    .bind(organization.map(OrganizationId::as_str))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    let found: Vec<(EndpointId, Pause)> = read_all(found)?;
    Ok(found.into_iter().collect())
}

//! Incidents.

use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::notification_store::{IncidentRow, KnownIncident};
use crate::projection::{Changes, IncidentKey};
use crate::rows::read_all;
use crate::store::StoreError;

static INCIDENTS: SetStatement = SetStatement::new(
    7,
    "INSERT INTO incidents
         (shard, organization_id, channel_id, endpoint_id, opened, closing, closed)
     VALUES {rows}
     ON CONFLICT (shard, organization_id, channel_id, endpoint_id) DO UPDATE SET
         opened = max(opened, excluded.opened),
         closing = max(closing, excluded.closing),
         closed = max(closed, excluded.closed)",
);

pub(super) async fn write(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let bind = |values: &mut Values, (key, incident): (&IncidentKey, &Incident)| {
        let (organization, channel, endpoint) = key;
        values.push(number(shard));
        values.push(organization.as_str());
        values.push(channel.to_string());
        values.push(endpoint.to_string());
        values.push(incident.opened.0);
        values.push(incident.closing.0);
        values.push(incident.closed.0);
    };
    INCIDENTS.execute(connection, changes.incidents.iter(), bind).await
}

pub(super) async fn open_incidents(
    readers: &SqlitePool,
    shard: Shard,
) -> Result<Vec<KnownIncident>, StoreError> {
    let found: Vec<IncidentRow> = sqlx::query_as(
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

//! `incidents`: the incidents of endpoints at the services of channels, as positions of the log that
//! only grow.

use keeptrusts_webhooks_domain::incident::Incident;

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;
use crate::log::rows::EndpointIncident;

type Column = super::Column<EndpointIncident>;

impl Entity for EndpointIncident {
    const TABLE: Table<EndpointIncident> = Table {
        name: "incidents",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("channel_id", |row| Cell::shown(row.channel_id)).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.endpoint_id)).key(),
            Column::integer("opened", |row| row.incident.opened.into()).maximum(),
            Column::integer("closing", |row| row.incident.closing.into()).maximum(),
            Column::integer("closed", |row| row.incident.closed.into()).maximum(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<EndpointIncident, StoreError> {
        Ok(EndpointIncident {
            organization_id: row.parsed("organization_id")?,
            channel_id: row.parsed("channel_id")?,
            endpoint_id: row.parsed("endpoint_id")?,
            incident: Incident {
                opened: row.position("opened")?,
                closing: row.position("closing")?,
                closed: row.position("closed")?,
            },
        })
    }
}

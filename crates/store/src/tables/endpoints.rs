//! `endpoints`: every endpoint, deleted ones too.

use keeptrusts_webhooks_domain::endpoint::Endpoint;

use super::{Cell, Entity, StoredRow, Table, document};
use crate::error::StoreError;

type Column = super::Column<Endpoint>;

impl Entity for Endpoint {
    const TABLE: Table<Endpoint> = Table {
        name: "endpoints",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.id)).key(),
            Column::text("display_name", |row| row.config.display_name.as_str().into()),
            Column::text("url", |row| row.config.url.as_str().into()),
            Column::text("state", |row| row.state.name().into()),
            Column::integer("delete_time", |row| row.delete_time.into()),
            Column::document_version(),
            Column::document(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Endpoint, StoreError> {
        document::read(row)
    }
}

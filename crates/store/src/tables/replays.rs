//! `replays`: requested replays, and their progress.

use keeptrusts_webhooks_domain::replay::Replay;

use super::{Cell, Entity, StoredRow, Table, document};
use crate::error::StoreError;

type Column = super::Column<Replay>;

impl Entity for Replay {
    const TABLE: Table<Replay> = Table {
        name: "replays",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("replay_id", |row| Cell::shown(row.id)).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.request.selection.endpoint_id))
                .kept(),
            Column::text("state", |row| row.state.name().into()),
            Column::document_version(),
            Column::document(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Replay, StoreError> {
        document::read(row)
    }
}

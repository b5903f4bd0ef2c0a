//! `missed_events`: events that an endpoint was not sent because it was disabled.

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;
use crate::log::projection::MissedEvent;

type Column = super::Column<MissedEvent>;

impl Entity for MissedEvent {
    const TABLE: Table<MissedEvent> = Table {
        name: "missed_events",
        columns: &[
            Column::text("endpoint_id", |row| Cell::shown(row.endpoint_id)).key(),
            Column::integer("position", |row| row.position.into()).key(),
            Column::text("organization_id", |row| row.organization_id.as_str().into()),
            Column::text("event_id", |row| Cell::shown(row.event_id)),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<MissedEvent, StoreError> {
        Ok(MissedEvent {
            organization_id: row.parsed("organization_id")?,
            endpoint_id: row.parsed("endpoint_id")?,
            event_id: row.parsed("event_id")?,
            position: row.position("position")?,
        })
    }
}

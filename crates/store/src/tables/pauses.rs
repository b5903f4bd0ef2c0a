//! `endpoint_pauses`: the last pause that each receiver asked for.

use keeptrusts_webhooks_domain::pause::Pause;

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;
use crate::log::rows::PausedEndpoint;

type Column = super::Column<PausedEndpoint>;

impl Entity for PausedEndpoint {
    const TABLE: Table<PausedEndpoint> = Table {
        name: "endpoint_pauses",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.endpoint_id)).key(),
            Column::integer("start_time", |row| row.pause.start_time.into()),
            Column::integer("end_time", |row| row.pause.end_time.into()),
            Column::text("delivery_id", |row| Cell::shown(row.pause.delivery_id)),
            Column::small("status_code", |row| row.pause.status_code.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<PausedEndpoint, StoreError> {
        let pause = Pause {
            start_time: row.time("start_time")?,
            end_time: row.time("end_time")?,
            delivery_id: row.parsed("delivery_id")?,
            status_code: row.small_number("status_code")?,
        };
        Ok(PausedEndpoint {
            organization_id: row.parsed("organization_id")?,
            endpoint_id: row.parsed("endpoint_id")?,
            pause,
        })
    }
}

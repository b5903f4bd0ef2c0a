//! `failing_endpoints`: endpoints whose attempts have all failed since a time.

use keeptrusts_webhooks_domain::endpoint::FailureStreak;

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;
use crate::log::rows::FailingEndpoint;

type Column = super::Column<FailingEndpoint>;

impl Entity for FailingEndpoint {
    const TABLE: Table<FailingEndpoint> = Table {
        name: "failing_endpoints",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.endpoint_id)).key(),
            Column::integer("since", |row| row.failing.since.into()).kept(),
            Column::text("delivery_id", |row| Cell::shown(row.failing.delivery_id)).kept(),
            Column::integer("failures", |row| row.failing.failures.into()).added(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<FailingEndpoint, StoreError> {
        let failing = FailureStreak {
            since: row.time("since")?,
            delivery_id: row.parsed("delivery_id")?,
            failures: row.number("failures")?,
        };
        Ok(FailingEndpoint {
            organization_id: row.parsed("organization_id")?,
            endpoint_id: row.parsed("endpoint_id")?,
            failing,
        })
    }
}

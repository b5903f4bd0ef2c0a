//! `attempts`: every attempt of a delivery. Headers and bodies expire and are in `bodies`.

use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptDetails};
use keeptrusts_webhooks_domain::event::ContentDigest;

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;

type Column = super::Column<Attempt>;

impl Entity for Attempt {
    const TABLE: Table<Attempt> = Table {
        name: "attempts",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("attempt_id", |row| Cell::shown(row.details.id)).key(),
            Column::text("delivery_id", |row| Cell::shown(row.delivery_id)),
            Column::text("event_id", |row| Cell::shown(row.details.event_id)),
            Column::text("event_type", |row| row.details.event_type.name().into()),
            Column::text("endpoint_id", |row| Cell::shown(row.details.endpoint_id)),
            Column::small("number", |row| row.details.number.into()),
            Column::small("automatic_count", |row| row.details.automatic_count.into()),
            Column::text("trigger", |row| row.details.trigger.name().into()),
            Column::integer("start_time", |row| row.details.start_time.into()),
            Column::integer("duration", |row| row.details.duration.into()),
            Column::small("status_code", |row| row.details.status_code.into()),
            Column::bytes("exchange_sha256", |row| (&row.details.exchange.sha256).into()),
            Column::integer("exchange_size", |row| row.details.exchange.size.into()),
            Column::text("outcome", |row| row.outcome.name().into()),
            Column::text("error", |row| row.error.as_str().into()),
            Column::integer("next_attempt_time", |row| row.next_attempt_time.into()),
            Column::text("remark", |row| row.details.remark.as_str().into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Attempt, StoreError> {
        let details = AttemptDetails {
            id: row.parsed("attempt_id")?,
            event_id: row.parsed("event_id")?,
            event_type: row.parsed("event_type")?,
            endpoint_id: row.parsed("endpoint_id")?,
            number: row.small_number("number")?,
            automatic_count: row.small_number("automatic_count")?,
            trigger: row.word("trigger")?,
            start_time: row.time("start_time")?,
            duration: row.duration("duration")?,
            status_code: row.optional_small_number("status_code")?,
            exchange: ContentDigest {
                sha256: row.sha256("exchange_sha256")?,
                size: row.number("exchange_size")?,
            },
            remark: row.text("remark")?,
        };
        Ok(Attempt {
            organization_id: row.parsed("organization_id")?,
            delivery_id: row.parsed("delivery_id")?,
            details,
            outcome: row.word("outcome")?,
            error: row.text("error")?,
            next_attempt_time: row.optional_time("next_attempt_time")?,
        })
    }
}

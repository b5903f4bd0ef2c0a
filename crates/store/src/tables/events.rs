//! `events`: published events. Their bodies expire and are in `bodies`.

use keeptrusts_webhooks_domain::event::{ContentDigest, Event, Idempotency, IdempotencyKey};

use super::{Cell, Entity, StoredRow, Table, unreadable};
use crate::error::StoreError;

type Column = super::Column<Event>;

impl Entity for Event {
    const TABLE: Table<Event> = Table {
        name: "events",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("event_id", |row| Cell::shown(row.id)).key(),
            Column::text("event_type", |row| row.event_type.name().into()),
            Column::boolean("is_test", |row| row.is_test.into()),
            Column::integer("event_time", |row| row.event_time.into()),
            Column::integer("create_time", |row| row.create_time.into()),
            Column::bytes("body_sha256", |row| (&row.body.sha256).into()),
            Column::integer("body_size", |row| row.body.size.into()),
            Column::text("idempotency_key", |row| {
                row.idempotency.as_ref().map(|used| used.key.as_str()).into()
            }),
            Column::bytes("request_sha256", |row| {
                row.idempotency.as_ref().map(|used| &used.request_sha256).into()
            }),
            Column::text("trace_id", |row| row.trace_id.map(Cell::shown).into()),
            Column::text("publisher", |row| row.publisher.as_str().into()),
            Column::integer("position", |row| row.position.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Event, StoreError> {
        let key = row.optional_text("idempotency_key")?.map(IdempotencyKey::optional).transpose();
        let key = key.map_err(|violation| unreadable("idempotency_key", violation))?.flatten();
        let idempotency = match key {
            Some(key) => Some(Idempotency { key, request_sha256: row.sha256("request_sha256")? }),
            None => None,
        };
        Ok(Event {
            id: row.parsed("event_id")?,
            organization_id: row.parsed("organization_id")?,
            event_type: row.parsed("event_type")?,
            is_test: row.boolean("is_test")?,
            event_time: row.time("event_time")?,
            create_time: row.time("create_time")?,
            body: ContentDigest {
                sha256: row.sha256("body_sha256")?,
                size: row.number("body_size")?,
            },
            idempotency,
            trace_id: row.optional_parsed("trace_id")?,
            publisher: row.text("publisher")?,
            position: row.position("position")?,
        })
    }
}

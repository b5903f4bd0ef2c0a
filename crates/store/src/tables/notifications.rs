//! `notifications`: messages to channels, and their state.

use keeptrusts_webhooks_domain::notification::Notification;

use super::{Cell, Entity, StoredRow, Table, document};
use crate::error::StoreError;

type Column = super::Column<Notification>;

impl Entity for Notification {
    const TABLE: Table<Notification> = Table {
        name: "notifications",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("notification_id", |row| Cell::shown(row.id)).key(),
            Column::text("channel_id", |row| Cell::shown(row.new.channel_id)).kept(),
            Column::text("type", |row| row.new.notification_type.name().into()).kept(),
            Column::text("state", |row| row.state.name().into()).for_searching(),
            Column::integer("due_time", |row| row.due_time.into()),
            Column::integer("end_time", |row| row.end_time.into()),
            Column::integer("cause", |row| row.cause.into()),
            Column::integer("attempt_start_time", |row| {
                row.last_attempt.as_ref().map(|attempt| attempt.start_time).into()
            }),
            Column::small("attempt_recipients", |row| {
                row.last_attempt.as_ref().map_or(0, |attempt| attempt.recipients).into()
            }),
            Column::document_version(),
            Column::document(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Notification, StoreError> {
        document::read(row)
    }
}

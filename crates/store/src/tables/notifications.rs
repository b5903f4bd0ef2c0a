//! `notifications`: what channels are told, and how far it has come.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationAttempt,
};

use super::{Cell, Entity, StoredRow, Table, unreadable};
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
            Column::text("endpoint_id", |row| row.new.endpoint_id.map(Cell::shown).into()).kept(),
            Column::text("delivery_id", |row| row.new.delivery_id.map(Cell::shown).into()),
            Column::integer("count", |row| row.new.count.into()),
            Column::integer("since_time", |row| row.new.since.into()).kept(),
            Column::text("reason", |row| row.new.reason.as_str().into()).kept(),
            Column::integer("first_due_time", |row| row.new.due_time.into()).kept(),
            Column::bytes("summary", |row| {
                row.new.summary.as_ref().map(log_codec::encode_summary).into()
            })
            .kept(),
            Column::text("state", |row| row.state.name().into()),
            Column::integer("due_time", |row| row.due_time.into()),
            Column::small("attempt_count", |row| row.attempt_count().into()),
            Column::integer("attempt_start_time", |row| {
                row.last_attempt.as_ref().map(|attempt| attempt.start_time).into()
            }),
            Column::integer("attempt_duration", |row| {
                row.last_attempt.as_ref().map(|attempt| attempt.duration).into()
            }),
            Column::small("status_code", |row| {
                row.last_attempt.as_ref().and_then(|attempt| attempt.status_code).into()
            }),
            Column::text("error", |row| row.error.as_str().into()),
            Column::integer("cause", |row| row.cause.into()),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            Column::integer("end_time", |row| row.end_time.into()),
            Column::integer("version", |row| row.version.into()),
            Column::bytes("incident", |row| {
                row.new.incident.as_ref().map(log_codec::encode_incident_action).into()
            })
            .kept(),
            Column::small("attempt_recipients", |row| {
                row.last_attempt.as_ref().map_or(0, |attempt| attempt.recipients).into()
            }),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Notification, StoreError> {
        let start_time = row.optional_time("attempt_start_time")?;
        let last_attempt = start_time.map(|start_time| -> Result<_, StoreError> {
            Ok(NotificationAttempt {
                number: row.small_number("attempt_count")?,
                start_time,
                duration: row.duration("attempt_duration")?,
                status_code: row.optional_small_number("status_code")?,
                recipients: row.small_number("attempt_recipients")?,
            })
        });
        let summary = row.optional_bytes("summary")?.map(|bytes| {
            let decoded = log_codec::decode_summary(&bytes);
            decoded.map_err(|error| unreadable("summary", error))
        });
        let incident = row.optional_bytes("incident")?.map(|bytes| {
            let decoded = log_codec::decode_incident_action(&bytes);
            decoded.map_err(|error| unreadable("incident", error))
        });
        Ok(Notification {
            id: row.parsed("notification_id")?,
            organization_id: row.parsed("organization_id")?,
            new: NewNotification {
                channel_id: row.parsed("channel_id")?,
                notification_type: row.word("type")?,
                endpoint_id: row.optional_parsed("endpoint_id")?,
                delivery_id: row.optional_parsed("delivery_id")?,
                count: row.number("count")?,
                since: row.time("since_time")?,
                reason: row.text("reason")?,
                due_time: row.time("first_due_time")?,
                summary: summary.transpose()?,
                incident: incident.transpose()?,
            },
            state: row.word("state")?,
            due_time: row.optional_time("due_time")?,
            last_attempt: last_attempt.transpose()?,
            error: row.text("error")?,
            cause: row.position("cause")?,
            create_time: row.time("create_time")?,
            end_time: row.optional_time("end_time")?,
            version: row.version()?,
        })
    }
}

//! `records`: the log.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::audit::action_label;
use keeptrusts_webhooks_domain::log::Stream;

use super::stored_row::organization_or_all;
use super::{Cell, Entity, StoredRow, Table, unreadable};
use crate::error::StoreError;
use crate::log::operation::Record;

type Column = super::Column<Record>;

impl Entity for Record {
    const TABLE: Table<Record> = Table {
        name: "records",
        columns: &[
            Column::integer("position", |row| row.position.into()).key(),
            Column::text("stream", |row| Cell::shown(row.stream)),
            Column::integer("version", |row| row.version.into()),
            Column::text("kind", |row| log_codec::kind(&row.fact).into()).for_searching(),
            Column::text("organization_id", |row| row.organization_id.as_str().into()),
            Column::bytes("data", |row| log_codec::encode(&row.fact).into()),
            Column::bytes("metadata", |row| row.metadata.encode().into()),
            Column::integer("recorded_at", |row| row.recorded_at.into()),
            Column::text("operation_id", |row| Cell::shown(row.operation_id)),
            Column::text("audit_action", |row| action_label(&row.fact).into()).for_searching(),
            Column::text("actor", |row| {
                action_label(&row.fact).map(|_| row.metadata.actor.as_str()).into()
            })
            .for_searching(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Record, StoreError> {
        let position = row.position("position")?;
        let stream: Stream = row.parsed("stream")?;
        let undecodable = |error| unreadable(&format!("record {position}:"), error);
        Ok(Record {
            position,
            stream,
            version: row.version()?,
            organization_id: organization_or_all(&row.text("organization_id")?)?,
            fact: log_codec::decode(stream, &row.bytes("data")?).map_err(undecodable)?,
            metadata: log_codec::Metadata::decode(&row.bytes("metadata")?).map_err(undecodable)?,
            recorded_at: row.time("recorded_at")?,
            operation_id: row.parsed("operation_id")?,
        })
    }
}

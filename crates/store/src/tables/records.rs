//! `records`: the log.

use keeptrusts_webhooks_contracts::log_codec;
use keeptrusts_webhooks_domain::audit::action_label;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};

use sqlx::{FromRow, Row};

use super::stored_row::{ReadResult, organization_or_all};
use super::{Cell, Entity, Kind, StoredRow, Table, unreadable};
use crate::error::StoreError;
use crate::log::damage::LogDamage;
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
        read_at(position, row).map_err(|error| match error {
            StoreError::Unreadable(reason) => unreadable(&format!("record {position}:"), reason),
            error => error,
        })
    }
}

fn read_at(position: Position, row: &impl StoredRow) -> Result<Record, StoreError> {
    let stream: Stream = row.parsed("stream")?;
    let undecodable = |error| unreadable("its data:", error);
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

/// A record of which every column was compared with what its data says.
pub(crate) struct JudgedRecord(ReadResult<Judged>);

struct Judged {
    record: Record,
    /// The first column that holds something else.
    differing_column: Option<&'static str>,
}

impl<'row, R: Row + StoredRow> FromRow<'row, R> for JudgedRecord {
    fn from_row(row: &'row R) -> Result<JudgedRecord, sqlx::Error> {
        let judged = Record::read(row).and_then(|record| {
            let differing_column = differing_column(row, &record)?;
            Ok(Judged { record, differing_column })
        });
        Ok(JudgedRecord(judged))
    }
}

impl JudgedRecord {
    /// The records, or the first damage.
    pub(crate) fn read_all(
        rows: Vec<JudgedRecord>,
        shard: Shard,
    ) -> Result<Vec<Record>, StoreError> {
        let records = rows.into_iter().map(|row| {
            let Judged { record, differing_column } = row.0?;
            match differing_column {
                None => Ok(record),
                Some(column) => {
                    Err(LogDamage::OtherColumn { position: record.position, column }.of(shard))
                }
            }
        });
        records.collect()
    }
}

/// Data and metadata have several encodings, and numbers and times one; so texts are compared.
fn differing_column(row: &impl StoredRow, record: &Record) -> ReadResult<Option<&'static str>> {
    for column in Record::TABLE.columns.iter().filter(|column| column.kind == Kind::Text) {
        let stored = row.optional_text(column.name)?;
        if stored.as_deref() != (column.cell)(record).as_text() {
            return Ok(Some(column.name));
        }
    }
    Ok(None)
}

//! Documents: rows that hold the entity as one JSON text, besides the columns that statements search.
//!
//! Decision: docs/decisions/small-state-is-documents.md

use std::borrow::Cow;

use keeptrusts_webhooks_domain::document::Document;
use serde_json::error::Category;

use super::{Cell, Column, Entity, Kind, Purpose, StoredRow, unreadable};
use crate::error::StoreError;

pub(super) const VERSION: &str = "document_version";
pub(super) const TEXT: &str = "document";

/// Longer than any id.
const MAX_ID_LENGTH: usize = 40;

impl<Row: Document> Column<Row> {
    /// The version of the row's document. A column of its own, so that it is known before the text is
    /// parsed.
    pub(super) const fn document_version() -> Column<Row> {
        let column = Column::new(VERSION, Kind::Small, |_| Row::VERSION.into());
        Column { purpose: Purpose::Document, ..column }
    }

    /// The row's document.
    pub(super) const fn document() -> Column<Row> {
        let column = Column::new(TEXT, Kind::Text, |row| {
            // Entities hold nothing that JSON cannot. If one ever did, the database would refuse the
            // NULL.
            serde_json::to_string(row).map_or(Cell::Null, |text| Cell::Text(Cow::Owned(text)))
        });
        Column { purpose: Purpose::Document, ..column }
    }
}

/// The entity of a row's document.
pub(super) fn read<Row: Entity + Document>(row: &impl StoredRow) -> Result<Row, StoreError> {
    decode(row.small_number(VERSION)?, &row.text(TEXT)?)
}

/// The entity that a document holds.
pub(super) fn decode<Row: Entity + Document>(version: i64, text: &str) -> Result<Row, StoreError> {
    let table = Row::TABLE.name;
    let unreadable = |reason: String| {
        let id = id_of(text).unwrap_or("(its id cannot be read)");
        unreadable(&format!("the document of {table} {id}:"), reason)
    };
    check_version(table, version, Row::VERSION)?;
    if version < 1 {
        return Err(unreadable(format!("its version is {version}")));
    }
    serde_json::from_str(text).map_err(|error| unreadable(reason(&error)))
}

/// Why a document cannot be read, without its values: they may be hidden ones at a wrong place.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") || text.starts_with("unknown field") {
        return text;
    }
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        Category::Syntax | Category::Io => "it is no JSON",
        Category::Data => "a field has a value that it cannot have",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The id of an entity whose document cannot be read: every document begins with it.
fn id_of(text: &str) -> Option<&str> {
    let start = text.trim_start_matches(['{', ' ', '\n']).strip_prefix("\"id\":")?;
    let id = start.trim_start().strip_prefix('"')?.split('"').next()?;
    let is_id =
        id.len() <= MAX_ID_LENGTH && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_id.then_some(id)
}

/// Refuses documents of a newer version.
pub(super) fn check_version(table: &'static str, found: i64, known: u16) -> Result<(), StoreError> {
    match found > i64::from(known) {
        true => Err(StoreError::Newer { table, found, known }),
        false => Ok(()),
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;

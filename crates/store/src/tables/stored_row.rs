//! One row as a database stores it, and how values of the domain are read from its columns.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Version};
use keeptrusts_webhooks_domain::named_enum::NamedEnum;
use keeptrusts_webhooks_domain::visible_text::with_hidden_escaped;
use sqlx::{ColumnIndex, Decode, Row, Type};

use super::cell::Cell;
use crate::error::StoreError;

/// [`StoreError::Unreadable`] if a column does not hold such a value.
pub(super) type ReadResult<T> = Result<T, StoreError>;

/// A row whose columns are read by their names.
pub(crate) trait RawRow {
    fn optional_text(&self, column: &str) -> ReadResult<Option<String>>;
    fn optional_integer(&self, column: &str) -> ReadResult<Option<i64>>;
    /// Of a column that has 32 bits on Postgres.
    fn optional_small(&self, column: &str) -> ReadResult<Option<i32>>;
    fn optional_boolean(&self, column: &str) -> ReadResult<Option<bool>>;
    fn optional_bytes(&self, column: &str) -> ReadResult<Option<Vec<u8>>>;
}

/// Columns read as values of the domain.
pub(crate) trait StoredRow: RawRow {
    fn text(&self, column: &str) -> ReadResult<String> {
        not_null(column, self.optional_text(column)?)
    }

    fn integer(&self, column: &str) -> ReadResult<i64> {
        not_null(column, self.optional_integer(column)?)
    }

    fn boolean(&self, column: &str) -> ReadResult<bool> {
        not_null(column, self.optional_boolean(column)?)
    }

    fn bytes(&self, column: &str) -> ReadResult<Vec<u8>> {
        not_null(column, self.optional_bytes(column)?)
    }

    /// A number that is never negative.
    fn number<T: TryFrom<i64>>(&self, column: &str) -> ReadResult<T> {
        number(column, self.integer(column)?)
    }

    fn small_number<T: TryFrom<i64>>(&self, column: &str) -> ReadResult<T> {
        not_null(column, self.optional_small_number(column)?)
    }

    fn optional_small_number<T: TryFrom<i64>>(&self, column: &str) -> ReadResult<Option<T>> {
        self.optional_small(column)?.map(|value| number(column, value)).transpose()
    }

    /// A value that is stored as text: an id, an event type.
    fn parsed<T: FromStr>(&self, column: &str) -> ReadResult<T> {
        parse(column, &self.text(column)?)
    }

    fn optional_parsed<T: FromStr>(&self, column: &str) -> ReadResult<Option<T>> {
        self.optional_text(column)?.map(|text| parse(column, &text)).transpose()
    }

    fn word<T: NamedEnum>(&self, column: &str) -> ReadResult<T> {
        word(&self.text(column)?)
    }

    fn time(&self, column: &str) -> ReadResult<Timestamp> {
        time(self.integer(column)?)
    }

    fn optional_time(&self, column: &str) -> ReadResult<Option<Timestamp>> {
        self.optional_integer(column)?.map(time).transpose()
    }

    fn duration(&self, column: &str) -> ReadResult<Duration> {
        Ok(Duration::from_micros(self.number(column)?))
    }

    fn position(&self, column: &str) -> ReadResult<Position> {
        self.integer(column).map(Position)
    }

    fn version(&self) -> ReadResult<Version> {
        self.integer("version").map(Version)
    }

    fn sha256(&self, column: &str) -> ReadResult<[u8; 32]> {
        exact(column, self.bytes(column)?)
    }
}

impl<R: RawRow + ?Sized> StoredRow for R {}

/// A row whose type is erased.
pub(crate) struct AnyRow<'a>(pub(super) &'a dyn RawRow);

impl RawRow for AnyRow<'_> {
    fn optional_text(&self, column: &str) -> ReadResult<Option<String>> {
        self.0.optional_text(column)
    }

    fn optional_integer(&self, column: &str) -> ReadResult<Option<i64>> {
        self.0.optional_integer(column)
    }

    fn optional_small(&self, column: &str) -> ReadResult<Option<i32>> {
        self.0.optional_small(column)
    }

    fn optional_boolean(&self, column: &str) -> ReadResult<Option<bool>> {
        self.0.optional_boolean(column)
    }

    fn optional_bytes(&self, column: &str) -> ReadResult<Option<Vec<u8>>> {
        self.0.optional_bytes(column)
    }
}

impl<R> RawRow for R
where
    R: Row,
    for<'name> &'name str: ColumnIndex<R>,
    for<'row> String: Decode<'row, R::Database> + Type<R::Database>,
    for<'row> i64: Decode<'row, R::Database> + Type<R::Database>,
    for<'row> i32: Decode<'row, R::Database> + Type<R::Database>,
    for<'row> bool: Decode<'row, R::Database> + Type<R::Database>,
    for<'row> Vec<u8>: Decode<'row, R::Database> + Type<R::Database>,
{
    fn optional_text(&self, column: &str) -> ReadResult<Option<String>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_integer(&self, column: &str) -> ReadResult<Option<i64>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_small(&self, column: &str) -> ReadResult<Option<i32>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_boolean(&self, column: &str) -> ReadResult<Option<bool>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_bytes(&self, column: &str) -> ReadResult<Option<Vec<u8>>> {
        self.try_get(column).map_err(undecodable)
    }
}

/// Columns of an entity that is in memory.
pub(crate) struct CellRow(pub(crate) Vec<(&'static str, Cell<'static>)>);

impl CellRow {
    fn cell(&self, column: &str) -> ReadResult<&Cell<'static>> {
        let found = self.0.iter().find(|(name, _)| *name == column);
        found.map(|(_, cell)| cell).ok_or_else(|| unreadable("column", column))
    }
}

impl RawRow for CellRow {
    fn optional_text(&self, column: &str) -> ReadResult<Option<String>> {
        self.cell(column).map(|cell| cell.as_text().map(str::to_owned))
    }

    fn optional_integer(&self, column: &str) -> ReadResult<Option<i64>> {
        self.cell(column).map(Cell::as_integer)
    }

    fn optional_small(&self, column: &str) -> ReadResult<Option<i32>> {
        self.optional_integer(column)?.map(|value| number(column, value)).transpose()
    }

    fn optional_boolean(&self, column: &str) -> ReadResult<Option<bool>> {
        self.cell(column).map(Cell::as_boolean)
    }

    fn optional_bytes(&self, column: &str) -> ReadResult<Option<Vec<u8>>> {
        self.cell(column).map(|cell| cell.as_bytes().map(<[u8]>::to_vec))
    }
}

/// A time from a column.
pub(crate) fn time(micros: i64) -> ReadResult<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| unreadable("time", micros))
}

pub(crate) fn parse<T: FromStr>(what: &str, text: &str) -> ReadResult<T> {
    text.parse().map_err(|_| unreadable(what, text))
}

pub(crate) fn word<T: NamedEnum>(text: &str) -> ReadResult<T> {
    T::from_name(text).ok_or_else(|| unreadable("word", text))
}

pub(crate) fn number<T: TryFrom<i64>>(what: &str, value: impl Into<i64>) -> ReadResult<T> {
    let value = value.into();
    T::try_from(value).map_err(|_| unreadable(what, value))
}

/// The value is shown in a line, without what follows its first characters.
pub(crate) fn unreadable(what: &str, value: impl Display) -> StoreError {
    /// More than any value that we write and that can be unreadable.
    const MAX_SHOWN: usize = 400;
    let shown: String = value.to_string().chars().take(MAX_SHOWN).collect();
    StoreError::Unreadable(with_hidden_escaped(&format!("{what} {shown}")))
}

fn undecodable(error: sqlx::Error) -> StoreError {
    StoreError::Unreadable(error.to_string())
}

fn not_null<T>(column: &str, value: Option<T>) -> ReadResult<T> {
    value.ok_or_else(|| unreadable(column, "NULL"))
}

fn exact<const LENGTH: usize>(column: &str, bytes: Vec<u8>) -> ReadResult<[u8; LENGTH]> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| unreadable(column, format!("of {length} bytes")))
}

/// An organization, or `*`: every one.
pub(super) fn organization_or_all(text: &str) -> ReadResult<OrganizationId> {
    OrganizationId::or_all(text).map_err(|_| unreadable("organization_id", text))
}

//! Rows as either database answers with them, and values of the domain that are read from them.

use std::any::Any;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Version};
use keeptrusts_webhooks_domain::named_enum::NamedEnum;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::{Cell, Entity};
use crate::error::StoreError;

type Unreadable<T> = Result<T, StoreError>;

/// A row whose columns are read by their names.
pub(crate) trait RawRow {
    fn optional_text(&self, column: &str) -> Unreadable<Option<String>>;
    fn optional_integer(&self, column: &str) -> Unreadable<Option<i64>>;
    /// Of a column that has 32 bits on Postgres.
    fn optional_small(&self, column: &str) -> Unreadable<Option<i32>>;
    fn optional_bytes(&self, column: &str) -> Unreadable<Option<Vec<u8>>>;
}

/// The same as values of the domain.
pub(crate) trait StoredRow: RawRow {
    fn text(&self, column: &str) -> Unreadable<String> {
        there(column, self.optional_text(column)?)
    }

    fn integer(&self, column: &str) -> Unreadable<i64> {
        there(column, self.optional_integer(column)?)
    }

    fn bytes(&self, column: &str) -> Unreadable<Vec<u8>> {
        there(column, self.optional_bytes(column)?)
    }

    /// A count, or whatever else is never negative.
    fn number<T: TryFrom<i64>>(&self, column: &str) -> Unreadable<T> {
        number(column, self.integer(column)?)
    }

    fn small_number<T: TryFrom<i64>>(&self, column: &str) -> Unreadable<T> {
        there(column, self.optional_small_number(column)?)
    }

    fn optional_small_number<T: TryFrom<i64>>(&self, column: &str) -> Unreadable<Option<T>> {
        self.optional_small(column)?.map(|value| number(column, value)).transpose()
    }

    /// What is kept as its text: an id, an event type.
    fn parsed<T: FromStr>(&self, column: &str) -> Unreadable<T> {
        parse(column, &self.text(column)?)
    }

    fn optional_parsed<T: FromStr>(&self, column: &str) -> Unreadable<Option<T>> {
        self.optional_text(column)?.map(|text| parse(column, &text)).transpose()
    }

    fn word<T: NamedEnum>(&self, column: &str) -> Unreadable<T> {
        word(&self.text(column)?)
    }

    fn time(&self, column: &str) -> Unreadable<Timestamp> {
        time(self.integer(column)?)
    }

    fn optional_time(&self, column: &str) -> Unreadable<Option<Timestamp>> {
        self.optional_integer(column)?.map(time).transpose()
    }

    fn duration(&self, column: &str) -> Unreadable<Duration> {
        Ok(Duration::from_micros(self.number(column)?))
    }

    fn position(&self, column: &str) -> Unreadable<Position> {
        self.integer(column).map(Position)
    }

    fn version(&self) -> Unreadable<Version> {
        self.integer("version").map(Version)
    }

    fn sha256(&self, column: &str) -> Unreadable<[u8; 32]> {
        exact(column, self.bytes(column)?)
    }
}

impl<R: RawRow + ?Sized> StoredRow for R {}

/// A row of a type that is not known here.
pub(crate) struct AnyRow<'a>(&'a dyn RawRow);

impl RawRow for AnyRow<'_> {
    fn optional_text(&self, column: &str) -> Unreadable<Option<String>> {
        self.0.optional_text(column)
    }

    fn optional_integer(&self, column: &str) -> Unreadable<Option<i64>> {
        self.0.optional_integer(column)
    }

    fn optional_small(&self, column: &str) -> Unreadable<Option<i32>> {
        self.0.optional_small(column)
    }

    fn optional_bytes(&self, column: &str) -> Unreadable<Option<Vec<u8>>> {
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
    for<'row> Vec<u8>: Decode<'row, R::Database> + Type<R::Database>,
{
    fn optional_text(&self, column: &str) -> Unreadable<Option<String>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_integer(&self, column: &str) -> Unreadable<Option<i64>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_small(&self, column: &str) -> Unreadable<Option<i32>> {
        self.try_get(column).map_err(undecodable)
    }

    fn optional_bytes(&self, column: &str) -> Unreadable<Option<Vec<u8>>> {
        self.try_get(column).map_err(undecodable)
    }
}

/// A row of an entity's table, read as soon as the database answers with it.
pub(crate) struct Stored<T>(Unreadable<T>);

impl<'row, R: Row + StoredRow, T: Entity> FromRow<'row, R> for Stored<T> {
    fn from_row(row: &'row R) -> Result<Stored<T>, sqlx::Error> {
        Ok(Stored(T::read(row)))
    }
}

/// What a selection has found: rows as a database stores them, or as they are in memory.
pub struct Rows(RowSource);

enum RowSource {
    Stored(Box<dyn StoredRows>),
    /// A `Vec` of entities.
    InMemory(Box<dyn Any + Send>),
}

/// The rows of one statement.
trait StoredRows: Send {
    fn visit(&self, visit: &mut dyn FnMut(&dyn RawRow) -> Unreadable<()>) -> Unreadable<()>;
}

impl<R: RawRow + Send> StoredRows for Vec<R> {
    fn visit(&self, visit: &mut dyn FnMut(&dyn RawRow) -> Unreadable<()>) -> Unreadable<()> {
        self.iter().try_for_each(|row| visit(row))
    }
}

impl Rows {
    /// Rows as a database stores them.
    pub(crate) fn stored<R: RawRow + Send + 'static>(rows: Vec<R>) -> Rows {
        Rows(RowSource::Stored(Box::new(rows)))
    }

    /// Entities.
    pub(crate) fn in_memory<Row: Entity>(rows: Vec<Row>) -> Rows {
        Rows(RowSource::InMemory(Box::new(rows)))
    }

    /// The entities, if that is what was selected.
    pub(crate) fn read<Row: Entity>(self) -> Unreadable<Vec<Row>> {
        match self.0 {
            RowSource::Stored(rows) => read_with(&*rows, |row| Row::read(&AnyRow(row))),
            RowSource::InMemory(rows) => {
                let rows = rows.downcast::<Vec<Row>>();
                rows.map(|rows| *rows).map_err(|_| unreadable("row", "of another table"))
            }
        }
    }

    /// What `read` makes of each row, whose columns were selected.
    pub(crate) fn map<T>(self, read: impl Fn(&AnyRow<'_>) -> Unreadable<T>) -> Unreadable<Vec<T>> {
        match self.0 {
            RowSource::Stored(rows) => read_with(&*rows, |row| read(&AnyRow(row))),
            RowSource::InMemory(_) => Err(unreadable("row", "without columns")),
        }
    }
}

fn read_with<T>(
    rows: &dyn StoredRows,
    read: impl Fn(&dyn RawRow) -> Unreadable<T>,
) -> Unreadable<Vec<T>> {
    let mut values = Vec::new();
    rows.visit(&mut |row| {
        values.push(read(row)?);
        Ok(())
    })?;
    Ok(values)
}

/// Some columns of an entity in memory.
pub(crate) struct CellRow(pub(crate) Vec<(&'static str, Cell<'static>)>);

impl CellRow {
    fn cell(&self, column: &str) -> Unreadable<&Cell<'static>> {
        let found = self.0.iter().find(|(name, _)| *name == column);
        found.map(|(_, cell)| cell).ok_or_else(|| unreadable("column", column))
    }
}

impl RawRow for CellRow {
    fn optional_text(&self, column: &str) -> Unreadable<Option<String>> {
        self.cell(column).map(|cell| cell.as_text().map(str::to_owned))
    }

    fn optional_integer(&self, column: &str) -> Unreadable<Option<i64>> {
        self.cell(column).map(Cell::as_integer)
    }

    fn optional_small(&self, column: &str) -> Unreadable<Option<i32>> {
        self.optional_integer(column)?.map(|value| number(column, value)).transpose()
    }

    fn optional_bytes(&self, column: &str) -> Unreadable<Option<Vec<u8>>> {
        self.cell(column).map(|cell| cell.as_bytes().map(<[u8]>::to_vec))
    }
}

/// What a value is read from.
pub(crate) trait ReadableRow {
    type Value;

    fn value(self) -> Unreadable<Self::Value>;
}

impl<T> ReadableRow for Stored<T> {
    type Value = T;

    fn value(self) -> Unreadable<T> {
        self.0
    }
}

/// Reads rows, or fails with the first that cannot be read.
pub(crate) fn read_all<R: ReadableRow>(rows: Vec<R>) -> Unreadable<Vec<R::Value>> {
    rows.into_iter().map(R::value).collect()
}

/// A time from a column.
pub(crate) fn time(micros: i64) -> Unreadable<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| unreadable("time", micros))
}

pub(crate) fn parse<T: FromStr>(what: &str, text: &str) -> Unreadable<T> {
    text.parse().map_err(|_| unreadable(what, text))
}

pub(crate) fn word<T: NamedEnum>(text: &str) -> Unreadable<T> {
    T::from_name(text).ok_or_else(|| unreadable("word", text))
}

pub(crate) fn number<T: TryFrom<i64>>(what: &str, value: impl Into<i64>) -> Unreadable<T> {
    let value = value.into();
    T::try_from(value).map_err(|_| unreadable(what, value))
}

pub(crate) fn unreadable(what: &str, value: impl Display) -> StoreError {
    StoreError::Unreadable(format!("{what} {value}"))
}

fn undecodable(error: sqlx::Error) -> StoreError {
    StoreError::Unreadable(error.to_string())
}

fn there<T>(column: &str, value: Option<T>) -> Unreadable<T> {
    value.ok_or_else(|| unreadable(column, "NULL"))
}

fn exact<const LENGTH: usize>(column: &str, bytes: Vec<u8>) -> Unreadable<[u8; LENGTH]> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| unreadable(column, format!("of {length} bytes")))
}

/// An organization, or `*`: every one.
pub(super) fn organization_or_all(text: &str) -> Unreadable<OrganizationId> {
    OrganizationId::or_all(text).map_err(|_| unreadable("organization_id", text))
}

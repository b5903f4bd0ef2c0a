//! The rows of a statement, and how entities are read from them.

use std::any::Any;

use sqlx::{FromRow, Row};

use super::entity::Entity;
use super::stored_row::{AnyRow, RawRow, ReadResult, StoredRow, unreadable};

/// A row of an entity's table, read as soon as the database answers with it.
pub(crate) struct Stored<T>(ReadResult<T>);

impl<'row, R: Row + StoredRow, T: Entity> FromRow<'row, R> for Stored<T> {
    fn from_row(row: &'row R) -> Result<Stored<T>, sqlx::Error> {
        Ok(Stored(T::read(row)))
    }
}

/// The rows that a selection or a look-up answers with.
pub struct Rows(RowSource);

enum RowSource {
    /// As a database stores them.
    Stored(Box<dyn StoredRows>),
    /// As a `Vec` of entities.
    InMemory(Box<dyn Any + Send>),
}

/// The rows of one statement, with their type erased.
trait StoredRows: Send {
    fn visit(&self, visit: &mut dyn FnMut(&dyn RawRow) -> ReadResult<()>) -> ReadResult<()>;
}

impl<R: RawRow + Send> StoredRows for Vec<R> {
    fn visit(&self, visit: &mut dyn FnMut(&dyn RawRow) -> ReadResult<()>) -> ReadResult<()> {
        self.iter().try_for_each(|row| visit(row))
    }
}

impl Rows {
    pub(crate) fn stored<R: RawRow + Send + 'static>(rows: Vec<R>) -> Rows {
        Rows(RowSource::Stored(Box::new(rows)))
    }

    pub(crate) fn in_memory<Row: Entity>(rows: Vec<Row>) -> Rows {
        Rows(RowSource::InMemory(Box::new(rows)))
    }

    /// The entities, if whole entities of this type were selected.
    pub(crate) fn read<Row: Entity>(self) -> ReadResult<Vec<Row>> {
        match self.0 {
            RowSource::Stored(rows) => read_with(&*rows, |row| Row::read(&AnyRow(row))),
            RowSource::InMemory(rows) => {
                let rows = rows.downcast::<Vec<Row>>();
                rows.map(|rows| *rows).map_err(|_| unreadable("row", "of another table"))
            }
        }
    }

    /// What `read` makes of each row, if single columns were selected.
    pub(crate) fn map<T>(self, read: impl Fn(&AnyRow<'_>) -> ReadResult<T>) -> ReadResult<Vec<T>> {
        match self.0 {
            RowSource::Stored(rows) => read_with(&*rows, |row| read(&AnyRow(row))),
            RowSource::InMemory(_) => Err(unreadable("row", "without columns")),
        }
    }
}

fn read_with<T>(
    rows: &dyn StoredRows,
    read: impl Fn(&dyn RawRow) -> ReadResult<T>,
) -> ReadResult<Vec<T>> {
    let mut values = Vec::new();
    rows.visit(&mut |row| {
        values.push(read(row)?);
        Ok(())
    })?;
    Ok(values)
}

/// A row that is read as one value.
pub(crate) trait ReadableRow {
    type Value;

    fn value(self) -> ReadResult<Self::Value>;
}

impl<T> ReadableRow for Stored<T> {
    type Value = T;

    fn value(self) -> ReadResult<T> {
        self.0
    }
}

/// Reads rows, or fails with the first that cannot be read.
pub(crate) fn read_all<R: ReadableRow>(rows: Vec<R>) -> ReadResult<Vec<R::Value>> {
    rows.into_iter().map(R::value).collect()
}

//! Parameters of statements over sets of rows: an array for each column.

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;

use crate::tables::{Cell, Keys, Kind, listed};

/// One column of many rows, as an array that `unnest` takes.
pub(super) fn column<'a, Row, Value>(
    rows: &'a [Row],
    value: impl FnMut(&'a Row) -> Value,
) -> Vec<Value> {
    rows.iter().map(value).collect()
}

/// A table of columns of these kinds, whose parameters are arrays from this number on.
pub(super) fn unnest(first_parameter: usize, kinds: impl Iterator<Item = Kind>) -> String {
    let arrays = kinds.enumerate().map(|(index, kind)| {
        let element = match kind {
            Kind::Text => "text",
            Kind::Integer => "bigint",
            Kind::Small => "int",
            Kind::Boolean => "bool",
            Kind::Bytes => "bytea",
        };
        format!("${}::{element}[]", first_parameter + index)
    });
    format!("unnest({})", listed(arrays))
}

/// The parameters of a statement that finds rows by their keys: the shard and an array for each
/// column of the key.
pub(super) fn key_arguments(shard: Shard, keys: &Keys<'_>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = shard_argument(shard)?;
    add_keys(&mut arguments, keys)?;
    Ok(arguments)
}

/// Adds an array for each column of a key.
pub(super) fn add_keys(arguments: &mut PgArguments, keys: &Keys<'_>) -> Result<(), sqlx::Error> {
    for (index, (_, kind)) in keys.table.key.iter().enumerate() {
        let cells: Vec<_> = keys.values.iter().map(|key| key[index].clone()).collect();
        add_column(arguments, *kind, &cells)?;
    }
    Ok(())
}

pub(super) fn shard_argument(shard: Shard) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.add(i32::from(shard.0)).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

/// Adds a column of many rows as an array.
pub(super) fn add_column(
    arguments: &mut PgArguments,
    kind: Kind,
    cells: &[Cell<'_>],
) -> Result<(), sqlx::Error> {
    // A cell of another kind than its column's would be a defect of the table's description. It
    // becomes NULL, which the database refuses, or whose value a test misses.
    fn all<'a, T>(
        cells: &'a [Cell<'a>],
        value: impl Fn(&'a Cell<'a>) -> Option<T>,
    ) -> Vec<Option<T>> {
        cells.iter().map(value).collect()
    }
    let added = match kind {
        Kind::Text => arguments.add(all(cells, Cell::as_text)),
        Kind::Integer => arguments.add(all(cells, Cell::as_integer)),
        Kind::Small => arguments.add(all(cells, |cell| cell.as_integer().map(small))),
        Kind::Boolean => arguments.add(all(cells, Cell::as_boolean)),
        Kind::Bytes => arguments.add(all(cells, Cell::as_bytes)),
    };
    added.map_err(sqlx::Error::Encode)
}

/// A count as a column of 32 bits holds it.
fn small(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

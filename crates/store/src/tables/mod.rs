//! The tables, each described once: its columns, what they hold of an entity, and how the entity
//! is read back. Both databases derive from this what they write and read.
//!
//! A column more is a line in its table's file, a line where the entity is read, and a migration.
//! Configuration and small state are read from a [`document`] alone: a field more of an entity is
//! none of these, and columns are there for what statements search.
//!
//! Decision: docs/decisions/a-table-is-described-once.md

mod attempt_counts;
mod attempts;
mod bodies;
mod cell;
mod channels;
mod deliveries;
mod document;
mod endpoints;
mod events;
mod failing_endpoints;
mod incidents;
mod key_uses;
mod keys;
mod missed_events;
mod notifications;
mod pauses;
mod per_table_cache;
mod projections;
mod records;
mod replays;
mod stored;
mod transaction;

use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};

pub(crate) use self::bodies::BODIES;
pub(crate) use self::cell::{Cell, duration_micros, micros};
pub(crate) use self::key_uses::KeyUse;
pub(crate) use self::per_table_cache::PerTableCache;
pub(crate) use self::projections::{Projection, RowDifference, RowPair, projections};
pub use self::stored::Rows;
pub(crate) use self::stored::{
    CellRow, ReadableRow, Stored, StoredRow, number, parse, read_all, time, unreadable, word,
};
pub(crate) use self::transaction::{OnConflict, TableTransaction, load, write_changes, write_plan};
use crate::error::StoreError;

/// A table. Each begins with the column `shard`, which is not listed: it is the first one of every
/// key.
pub(crate) struct Table<Row: 'static> {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column<Row>],
}

/// A column, and what it holds.
pub(crate) struct Column<Row> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) change: Change,
    pub(crate) purpose: Purpose,
    pub(crate) cell: for<'row> fn(&'row Row) -> Cell<'row>,
}

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// 64 bits.
    Integer,
    /// 32 bits on Postgres.
    Small,
    Boolean,
    Bytes,
}

/// What a column is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The entity is read from it and others, unless the row has a document.
    Value,
    /// Statements search by it.
    Search,
    /// It is of the document, from which the entity is read.
    Document,
}

/// What becomes of a column when a row is written that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It says which row it is.
    Key,
    /// It stays as it was.
    Kept,
    Replaced,
    Added,
    /// The greater value stays.
    Maximum,
}

/// What a row of a table is.
pub(crate) trait Entity: Sized + Send + Sync + Unpin + 'static {
    const TABLE: Table<Self>;

    fn read(row: &impl StoredRow) -> Result<Self, StoreError>;
}

/// What statements need to know of a table, whatever its rows are.
#[derive(Debug, Clone)]
pub(crate) struct TableShape {
    pub(crate) name: &'static str,
    /// The columns that an entity is read from, separated by commas. Statements are made once for
    /// each table, and shapes for each look-up.
    pub(crate) read_columns: fn() -> String,
    /// The columns that say which row it is.
    pub(crate) key: Vec<(&'static str, Kind)>,
}

impl TableShape {
    pub(crate) fn of<Row: Entity>() -> TableShape {
        let key = Row::TABLE.key().map(|column| (column.name, column.kind));
        TableShape {
            name: Row::TABLE.name,
            read_columns: || Row::TABLE.read_columns(),
            key: key.collect(),
        }
    }
}

/// Rows of a table by their keys.
pub struct Keys<'k> {
    pub(crate) table: TableShape,
    /// The values of the key's columns, for each row.
    pub(crate) values: Vec<Vec<Cell<'k>>>,
}

impl<'k> Keys<'k> {
    pub(crate) fn of<Row: Entity>(keys: &'k [impl TableKey]) -> Keys<'k> {
        let values = keys.iter().map(TableKey::cells).collect();
        Keys { table: TableShape::of::<Row>(), values }
    }
}

/// The values of a row's key, in the order of the table's columns.
pub(crate) trait TableKey: Send + Sync {
    fn cells(&self) -> Vec<Cell<'_>>;
}

impl<Id: std::fmt::Display + Send + Sync> TableKey for (OrganizationId, Id) {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![self.0.as_str().into(), Cell::shown(&self.1)]
    }
}

impl TableKey for KeyId {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::shown(self)]
    }
}

/// Keys of rows of one organization.
pub(crate) fn with_owner<Id: Copy>(
    owner: &OrganizationId,
    ids: &[Id],
) -> Vec<(OrganizationId, Id)> {
    ids.iter().map(|id| (owner.clone(), *id)).collect()
}

impl<Row> Table<Row> {
    /// The columns that say which row it is.
    pub(crate) fn key(&self) -> impl Iterator<Item = &'static Column<Row>> + use<Row> {
        self.columns.iter().filter(|column| column.change == Change::Key)
    }

    /// The columns that an entity is read from, separated by commas.
    pub(crate) fn read_columns(&self) -> String {
        let of = |purpose| self.columns.iter().filter(move |column| column.purpose == purpose);
        let names = |purpose| listed(of(purpose).map(|column| column.name));
        match of(Purpose::Document).next() {
            Some(_) => names(Purpose::Document),
            None => names(Purpose::Value),
        }
    }

    /// The columns, separated by commas.
    pub(crate) fn all_columns(&self) -> String {
        listed(self.columns.iter().map(|column| column.name))
    }

    /// The columns of the key, separated by commas.
    pub(crate) fn key_columns(&self) -> String {
        listed(self.key().map(|column| column.name))
    }

    /// What an INSERT does where the row is there already. `maximum` is the function of two values
    /// that answers with the greater one.
    pub(crate) fn on_conflict(&self, maximum: &str) -> String {
        let name = self.name;
        let assignments = self.columns.iter().filter_map(|column| {
            let column_name = column.name;
            let (stands, new) =
                (format!("{name}.{column_name}"), format!("excluded.{column_name}"));
            let value = match column.change {
                Change::Key | Change::Kept => return None,
                Change::Replaced => new,
                Change::Added => format!("{stands} + {new}"),
                Change::Maximum => format!("{maximum}({stands}, {new})"),
            };
            Some(format!("{column_name} = {value}"))
        });
        let assignments = listed(assignments);
        let action = match assignments.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {assignments}"),
        };
        format!("ON CONFLICT (shard, {}) DO {action}", self.key_columns())
    }
}

pub(crate) fn listed(parts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut list = String::new();
    for part in parts {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(part.as_ref());
    }
    list
}

impl<Row> Column<Row> {
    const fn new(
        name: &'static str,
        kind: Kind,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column { name, kind, change: Change::Replaced, purpose: Purpose::Value, cell }
    }

    /// A column of text, and so on. What rows hold there may be replaced, unless the column is
    /// said to be [`key`](Column::key) or [`kept`](Column::kept).
    const fn text(name: &'static str, cell: for<'row> fn(&'row Row) -> Cell<'row>) -> Column<Row> {
        Column::new(name, Kind::Text, cell)
    }

    const fn integer(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Integer, cell)
    }

    const fn small(name: &'static str, cell: for<'row> fn(&'row Row) -> Cell<'row>) -> Column<Row> {
        Column::new(name, Kind::Small, cell)
    }

    const fn boolean(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Boolean, cell)
    }

    const fn bytes(name: &'static str, cell: for<'row> fn(&'row Row) -> Cell<'row>) -> Column<Row> {
        Column::new(name, Kind::Bytes, cell)
    }

    const fn key(self) -> Column<Row> {
        Column { change: Change::Key, ..self }
    }

    const fn kept(self) -> Column<Row> {
        Column { change: Change::Kept, ..self }
    }

    const fn added(self) -> Column<Row> {
        Column { change: Change::Added, ..self }
    }

    const fn maximum(self) -> Column<Row> {
        Column { change: Change::Maximum, ..self }
    }

    /// Entities are not read from it.
    const fn for_searching(self) -> Column<Row> {
        Column { purpose: Purpose::Search, ..self }
    }
}

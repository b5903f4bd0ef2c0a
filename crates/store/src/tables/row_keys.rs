//! Rows chosen by their keys.

use std::fmt::Display;

use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};

use super::cell::Cell;
use super::entity::Entity;
use super::table::Kind;

/// What statements need to know of a table, without the type of its rows.
#[derive(Debug, Clone)]
pub(crate) struct TableShape {
    pub(crate) name: &'static str,
    /// The columns that an entity is read from, separated by commas. A function, because a shape is
    /// made for each look-up, but its statement only once for each table.
    pub(crate) read_columns: fn() -> String,
    /// The columns of the key, without `shard`.
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

/// Keys of rows of one table.
pub struct Keys<'k> {
    pub(crate) table: TableShape,
    /// For each row, the values of the key's columns, in the order of the table's columns.
    pub(crate) values: Vec<Vec<Cell<'k>>>,
}

impl<'k> Keys<'k> {
    pub(crate) fn of<Row: Entity>(keys: &'k [impl TableKey]) -> Keys<'k> {
        let values = keys.iter().map(TableKey::cells).collect();
        Keys { table: TableShape::of::<Row>(), values }
    }
}

/// A key whose cells are in the order of the table's columns.
pub(crate) trait TableKey: Send + Sync {
    fn cells(&self) -> Vec<Cell<'_>>;
}

impl<Id: Display + Send + Sync> TableKey for (OrganizationId, Id) {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![self.0.as_str().into(), Cell::shown(&self.1)]
    }
}

impl TableKey for KeyId {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::shown(self)]
    }
}

/// The keys of rows that belong to one organization.
pub(crate) fn with_owner<Id: Copy>(
    owner: &OrganizationId,
    ids: &[Id],
) -> Vec<(OrganizationId, Id)> {
    ids.iter().map(|id| (owner.clone(), *id)).collect()
}

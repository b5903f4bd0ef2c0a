//! How a table is described: its columns, and the parts of statements that follow from them.

use super::cell::Cell;

/// A table. Its column `shard` is not listed: every table has it, as the first column of its key.
pub(crate) struct Table<Row: 'static> {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column<Row>],
}

/// A column of a table.
pub(crate) struct Column<Row> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) change: Change,
    pub(crate) purpose: Purpose,
    /// What the column holds of a row.
    pub(crate) cell: for<'row> fn(&'row Row) -> Cell<'row>,
}

/// The type of a column.
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

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The entity is read from it and others, unless the row has a document.
    Value,
    /// Statements search by it.
    Search,
    /// Part of the document, from which the entity is read.
    Document,
}

/// What happens to a column when a row is written that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Part of the key: the same in both rows.
    Key,
    /// Keeps the stored value.
    Kept,
    Replaced,
    /// Becomes the sum of both values.
    Added,
    /// Becomes the greater of both values.
    Maximum,
}

/// What to do if a row exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// It is a defect: the statement fails.
    Fail,
    /// Its columns change as the table says (see [`Change`]).
    Update,
    /// All of its columns are replaced.
    Replace,
}

impl<Row> Table<Row> {
    /// The columns of the key, without `shard`.
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

    pub(crate) fn all_columns(&self) -> String {
        listed(self.columns.iter().map(|column| column.name))
    }

    pub(crate) fn key_columns(&self) -> String {
        listed(self.key().map(|column| column.name))
    }

    /// The clause of an INSERT for rows that exist already. `maximum` is the database's function for
    /// the greater of two values.
    pub(crate) fn on_conflict(&self, on_conflict: OnConflict, maximum: &str) -> String {
        let name = self.name;
        let assignments = self.columns.iter().filter_map(|column| {
            let column_name = column.name;
            let (old, new) = (format!("{name}.{column_name}"), format!("excluded.{column_name}"));
            let value = match column.change {
                Change::Key => return None,
                _ if on_conflict == OnConflict::Replace => new,
                Change::Kept => return None,
                Change::Replaced => new,
                Change::Added => format!("{old} + {new}"),
                Change::Maximum => format!("{maximum}({old}, {new})"),
            };
            Some(format!("{column_name} = {value}"))
        });
        let assignments = listed(assignments);
        let action = match assignments.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {assignments}"),
        };
        match on_conflict {
            OnConflict::Fail => String::new(),
            OnConflict::Update | OnConflict::Replace => {
                format!("ON CONFLICT (shard, {}) DO {action}", self.key_columns())
            }
        }
    }
}

/// The parts, separated by commas.
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
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column { name, kind, change: Change::Replaced, purpose: Purpose::Value, cell }
    }

    /// A column whose value may be replaced, unless [`key`](Column::key), [`kept`](Column::kept),
    /// [`added`](Column::added) or [`maximum`](Column::maximum) follows.
    pub(super) const fn text(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Text, cell)
    }

    pub(super) const fn integer(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Integer, cell)
    }

    pub(super) const fn small(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Small, cell)
    }

    pub(super) const fn boolean(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Boolean, cell)
    }

    pub(super) const fn bytes(
        name: &'static str,
        cell: for<'row> fn(&'row Row) -> Cell<'row>,
    ) -> Column<Row> {
        Column::new(name, Kind::Bytes, cell)
    }

    pub(super) const fn key(self) -> Column<Row> {
        Column { change: Change::Key, ..self }
    }

    pub(super) const fn kept(self) -> Column<Row> {
        Column { change: Change::Kept, ..self }
    }

    pub(super) const fn added(self) -> Column<Row> {
        Column { change: Change::Added, ..self }
    }

    pub(super) const fn maximum(self) -> Column<Row> {
        Column { change: Change::Maximum, ..self }
    }

    /// Entities are not read from it.
    pub(super) const fn for_searching(self) -> Column<Row> {
        Column { purpose: Purpose::Search, ..self }
    }
}

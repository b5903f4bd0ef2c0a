//! A query of one table. The databases make a statement of it; the store in memory filters its
//! rows.
//!
//! Decision: docs/decisions/a-query-is-a-selection.md

use std::marker::PhantomData;

use super::interval::Interval;
use crate::tables::{Cell, Entity, micros};

/// Which rows of a table, in which order, and how many.
pub(crate) struct Selection<Row> {
    erased: ErasedSelection,
    row: PhantomData<fn() -> Row>,
}

/// A selection without the type of its rows.
pub struct ErasedSelection {
    pub(crate) table: &'static str,
    /// The columns that are read.
    pub(crate) columns: String,
    /// The index that SQLite has to use: it keeps no statistics to choose one by.
    pub(crate) index: Option<&'static str>,
    /// All must hold.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) order: Order,
    pub(crate) skipped: usize,
    pub(crate) limit: usize,
}

/// A condition on a row. NULL meets only [`Condition::IsNull`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Compared {
        column: &'static str,
        by: Comparison,
        value: Cell<'static>,
    },
    /// The same with a constant. It is part of the statement's text, so that the databases see that a
    /// partial index covers these rows.
    Fixed {
        column: &'static str,
        by: Comparison,
        value: Fixed,
    },
    /// The column has one of these values, of which there is at least one.
    OneOf {
        column: &'static str,
        values: Vec<Cell<'static>>,
    },
    /// The column has one of these texts, or none of them. There may be thousands.
    Among {
        column: &'static str,
        is_among: bool,
        texts: Vec<String>,
    },
    /// All conditions of one of these groups hold.
    AnyGroup(Vec<Vec<Condition>>),
    IsNull {
        column: &'static str,
    },
    IsNotNull {
        column: &'static str,
    },
    /// One column is greater than another.
    Exceeds {
        column: &'static str,
        other: &'static str,
    },
    /// One of these columns contains the text, regardless of ASCII case. The text is lower-case.
    Contains {
        columns: &'static [&'static str],
        text: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixed {
    Word(&'static str),
    Number(i64),
    Flag(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    AtLeast,
    Greater,
}

/// The order of the rows, by columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Any,
    Ascending(&'static [&'static str]),
    Descending(&'static [&'static str]),
}

/// Which value of a column a group is reduced to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// The least.
    Least(&'static str),
    /// The greatest.
    Greatest(&'static str),
}

impl Fixed {
    pub(crate) fn cell(self) -> Cell<'static> {
        match self {
            Fixed::Word(word) => word.into(),
            Fixed::Number(number) => number.into(),
            Fixed::Flag(flag) => flag.into(),
        }
    }
}

impl Comparison {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::Less => "<",
            Comparison::AtLeast => ">=",
            Comparison::Greater => ">",
        }
    }
}

impl Condition {
    /// The column has one of these values. None if there are none.
    pub(crate) fn one_of(
        column: &'static str,
        values: impl Iterator<Item = Cell<'static>>,
    ) -> Option<Condition> {
        let mut values: Vec<_> = values.collect();
        match values.len() {
            0 => None,
            1 => {
                Some(Condition::Compared { column, by: Comparison::Equal, value: values.remove(0) })
            }
            _ => Some(Condition::OneOf { column, values }),
        }
    }
}

impl<Row: Entity> Selection<Row> {
    /// Every row.
    pub(crate) fn new() -> Selection<Row> {
        let erased = ErasedSelection {
            table: Row::TABLE.name,
            columns: Row::TABLE.read_columns(),
            index: None,
            conditions: Vec::new(),
            order: Order::Any,
            skipped: 0,
            limit: usize::MAX,
        };
        Selection { erased, row: PhantomData }
    }

    /// Selects these columns only, instead of whole entities.
    pub(crate) fn columns(mut self, columns: &'static [&'static str]) -> Selection<Row> {
        columns.iter().for_each(|column| self.expect(column));
        self.erased.columns = columns.join(", ");
        self
    }

    /// Uses this index on SQLite.
    pub(crate) fn by_index(mut self, index: &'static str) -> Selection<Row> {
        self.erased.index = Some(index);
        self
    }

    pub(crate) fn equal(
        self,
        column: &'static str,
        value: impl Into<Cell<'static>>,
    ) -> Selection<Row> {
        self.compared(column, Comparison::Equal, value.into())
    }

    /// No condition if there is no value.
    pub(crate) fn equal_if<Value: Into<Cell<'static>>>(
        self,
        column: &'static str,
        value: Option<Value>,
    ) -> Selection<Row> {
        match value {
            Some(value) => self.equal(column, value),
            None => self,
        }
    }

    /// Rows with one of these values. No condition if there are none.
    pub(crate) fn one_of(
        mut self,
        column: &'static str,
        values: impl Iterator<Item = Cell<'static>>,
    ) -> Selection<Row> {
        self.expect(column);
        self.erased.conditions.extend(Condition::one_of(column, values));
        self
    }

    /// Rows that meet all conditions of a group; no row if there are no groups. No condition if None.
    pub(crate) fn any_group(mut self, groups: Option<Vec<Vec<Condition>>>) -> Selection<Row> {
        match groups {
            None => {}
            Some(mut groups) if groups.len() == 1 => {
                self.erased.conditions.append(&mut groups[0]);
            }
            Some(groups) => self.erased.conditions.push(Condition::AnyGroup(groups)),
        }
        self
    }

    pub(crate) fn less(
        self,
        column: &'static str,
        value: impl Into<Cell<'static>>,
    ) -> Selection<Row> {
        self.compared(column, Comparison::Less, value.into())
    }

    pub(crate) fn greater(
        self,
        column: &'static str,
        value: impl Into<Cell<'static>>,
    ) -> Selection<Row> {
        self.compared(column, Comparison::Greater, value.into())
    }

    pub(crate) fn at_least(
        self,
        column: &'static str,
        value: impl Into<Cell<'static>>,
    ) -> Selection<Row> {
        self.compared(column, Comparison::AtLeast, value.into())
    }

    /// No condition if there is no value.
    pub(crate) fn at_least_if<Value: Into<Cell<'static>>>(
        self,
        column: &'static str,
        value: Option<Value>,
    ) -> Selection<Row> {
        match value {
            Some(value) => self.at_least(column, value),
            None => self,
        }
    }

    pub(crate) fn within(self, column: &'static str, interval: Interval) -> Selection<Row> {
        let selection = self.at_least_if(column, interval.start.map(micros));
        match interval.end {
            Some(end) => selection.less(column, micros(end)),
            None => selection,
        }
    }

    /// See [`Condition::Fixed`].
    pub(crate) fn fixed(
        mut self,
        column: &'static str,
        by: Comparison,
        value: Fixed,
    ) -> Selection<Row> {
        self.expect(column);
        self.erased.conditions.push(Condition::Fixed { column, by, value });
        self
    }

    pub(crate) fn null(mut self, column: &'static str) -> Selection<Row> {
        self.expect(column);
        self.erased.conditions.push(Condition::IsNull { column });
        self
    }

    pub(crate) fn not_null(mut self, column: &'static str) -> Selection<Row> {
        self.expect(column);
        self.erased.conditions.push(Condition::IsNotNull { column });
        self
    }

    /// Rows whose `column` is greater than their `other`.
    pub(crate) fn exceeding(mut self, column: &'static str, other: &'static str) -> Selection<Row> {
        [column, other].iter().for_each(|column| self.expect(column));
        self.erased.conditions.push(Condition::Exceeds { column, other });
        self
    }

    /// Rows with the text in one of the columns, regardless of ASCII case. No condition if there is no
    /// text.
    pub(crate) fn containing(
        mut self,
        columns: &'static [&'static str],
        text: Option<&str>,
    ) -> Selection<Row> {
        columns.iter().for_each(|column| self.expect(column));
        if let Some(text) = text {
            let text = text.to_ascii_lowercase();
            self.erased.conditions.push(Condition::Contains { columns, text });
        }
        self
    }

    pub(crate) fn ascending(mut self, columns: &'static [&'static str]) -> Selection<Row> {
        columns.iter().for_each(|column| self.expect(column));
        self.erased.order = Order::Ascending(columns);
        self
    }

    pub(crate) fn descending(mut self, columns: &'static [&'static str]) -> Selection<Row> {
        columns.iter().for_each(|column| self.expect(column));
        self.erased.order = Order::Descending(columns);
        self
    }

    pub(crate) fn skip(mut self, skipped: usize) -> Selection<Row> {
        self.erased.skipped = skipped;
        self
    }

    pub(crate) fn limit(mut self, limit: usize) -> Selection<Row> {
        self.erased.limit = limit;
        self
    }

    pub(crate) fn into_erased(self) -> ErasedSelection {
        self.erased
    }

    pub(crate) fn erased(&self) -> &ErasedSelection {
        &self.erased
    }

    fn compared(
        mut self,
        column: &'static str,
        by: Comparison,
        value: Cell<'static>,
    ) -> Selection<Row> {
        self.expect(column);
        self.erased.conditions.push(Condition::Compared { column, by, value });
        self
    }

    /// Panics in tests if the table has no such column, on every backend alike.
    fn expect(&self, column: &str) {
        debug_assert!(
            Row::TABLE.columns.iter().any(|known| known.name == column),
            "{} has no column {column}",
            Row::TABLE.name
        );
    }
}

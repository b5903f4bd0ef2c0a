//! Selections and look-ups in the tables in memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::str::FromStr;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::request::RecordedRequest;

use super::{MemoryStore, lock};
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::log::rows::EndpointIncident;
use crate::log::rows::{FailingEndpoint, PausedEndpoint};
use crate::queries::selection::{Comparison, Condition, ErasedSelection, Order};
use crate::tables::{Cell, CellRow, Entity, KeyUse, Keys, Rows, Table};

/// A table, with the type of its rows erased.
pub(super) trait AnyTable {
    fn select(&self, selection: &ErasedSelection) -> Rows;

    fn look_up(&self, keys: &Keys<'_>) -> Rows;

    fn count(&self, selection: &ErasedSelection) -> u64;

    /// Two columns of each row of a selection: a text and a number.
    fn numbers(&self, selection: &ErasedSelection, text: &str, number: &str) -> Vec<(String, i64)>;
}

/// Entities by their ids.
struct ById<'a, Id, Row>(&'a BTreeMap<Id, Row>);

/// Rows without an id.
struct Listed<'a, Row: Clone>(Cow<'a, [Row]>);

impl MemoryStore {
    /// Calls `read` with a table.
    pub(super) fn table<T>(
        &self,
        shard: Shard,
        name: &str,
        read: impl FnOnce(&dyn AnyTable) -> T,
    ) -> Result<T, StoreError> {
        let data = self.shard(shard);
        let tables = &data.tables;
        Ok(match name {
            "endpoints" => read(&ById(&tables.endpoints)),
            "events" => read(&ById(&tables.events)),
            "deliveries" => read(&ById(&tables.deliveries)),
            "attempts" => read(&ById(&tables.attempts)),
            "keys" => read(&ById(&tables.keys)),
            "replays" => read(&ById(&tables.replays)),
            "channels" => read(&ById(&tables.channels)),
            "notifications" => read(&ById(&tables.notifications)),
            "missed_events" => read(&Listed(Cow::Borrowed(&tables.missed))),
            "records" => read(&Listed::<Record>(Cow::Borrowed(&data.records))),
            "attempt_counts" => {
                let counts = tables.attempt_counts.iter();
                read(&Listed(counts.map(|(key, count)| (*key, *count)).collect()))
            }
            "failing_endpoints" => {
                let rows = tables.failing.iter().map(|((owner, id), failing)| FailingEndpoint {
                    organization_id: owner.clone(),
                    endpoint_id: *id,
                    failing: *failing,
                });
                read(&Listed(rows.collect()))
            }
            "endpoint_pauses" => {
                let rows = tables.pauses.iter().map(|((owner, id), pause)| PausedEndpoint {
                    organization_id: owner.clone(),
                    endpoint_id: *id,
                    pause: *pause,
                });
                read(&Listed(rows.collect()))
            }
            "incidents" => {
                let rows = tables.incidents.iter().map(|((owner, channel, endpoint), incident)| {
                    EndpointIncident {
                        organization_id: owner.clone(),
                        channel_id: *channel,
                        endpoint_id: *endpoint,
                        incident: *incident,
                    }
                });
                read(&Listed(rows.collect()))
            }
            "requests" => {
                read(&Listed::<RecordedRequest>(tables.requests.values().cloned().collect()))
            }
            "key_uses" => {
                let uses = &lock(&self.database).key_uses;
                let rows =
                    uses.iter().map(|(id, time)| KeyUse { key_id: *id, last_use_time: *time });
                read(&Listed(rows.collect()))
            }
            other => return Err(StoreError::Failed(format!("there is no table {other}").into())),
        })
    }
}

impl<Id: FromStr + Ord, Row: Entity + Clone> AnyTable for ById<'_, Id, Row> {
    fn select(&self, selection: &ErasedSelection) -> Rows {
        let rows = self.matching(selection);
        let id = Row::TABLE.key().last().map(|column| column.name);
        // They are in the order of their ids already: the rest need not be examined.
        let wanted = selection.skipped.saturating_add(selection.limit);
        let found = match selection.order {
            Order::Ascending(&[column]) if Some(column) == id => rows.take(wanted).collect(),
            Order::Descending(&[column]) if Some(column) == id => rows.rev().take(wanted).collect(),
            order => in_order(rows.collect(), order),
        };
        page(found, selection)
    }

    fn look_up(&self, keys: &Keys<'_>) -> Rows {
        let found = keys.values.iter().filter_map(|key| {
            let row = self.0.get(&key.last()?.as_text()?.parse().ok()?)?;
            (key_of(row) == *key).then(|| row.clone())
        });
        Rows::in_memory::<Row>(found.collect())
    }

    fn count(&self, selection: &ErasedSelection) -> u64 {
        self.matching(selection).count() as u64
    }

    fn numbers(&self, selection: &ErasedSelection, text: &str, number: &str) -> Vec<(String, i64)> {
        numbers(self.matching(selection), text, number)
    }
}

impl<Id: FromStr + Ord, Row: Entity> ById<'_, Id, Row> {
    /// The rows that meet all conditions. Conditions on the id become a range: comparing ids as text
    /// would take most of a simulation's time.
    fn matching<'a>(
        &'a self,
        selection: &'a ErasedSelection,
    ) -> impl DoubleEndedIterator<Item = &'a Row> {
        let (mut least, mut most) = (Bound::Unbounded, Bound::Unbounded);
        let mut others = Vec::new();
        for condition in &selection.conditions {
            match id_bound::<Id, Row>(condition) {
                Some((Comparison::Less, id)) => most = Bound::Excluded(id),
                Some((Comparison::AtLeast, id)) => least = Bound::Included(id),
                Some((Comparison::Greater, id)) => least = Bound::Excluded(id),
                Some((Comparison::Equal, _)) | None => others.push(holds::<Row>(condition)),
            }
        }
        // BTreeMap::range panics if it ends before it begins.
        let is_empty = match (&least, &most) {
            (Bound::Included(least) | Bound::Excluded(least), Bound::Excluded(most)) => {
                least >= most
            }
            _ => false,
        };
        let range = (!is_empty).then(|| self.0.range((least, most)));
        let rows = range.into_iter().flatten().map(|(_, row)| row);
        rows.filter(move |row| others.iter().all(|holds| holds(row)))
    }
}

/// The bound that a condition sets on the id.
fn id_bound<Id: FromStr, Row: Entity>(condition: &Condition) -> Option<(Comparison, Id)> {
    let Condition::Compared { column, by, value } = condition else { return None };
    let is_id = Row::TABLE.key().last().is_some_and(|last| last.name == *column);
    is_id.then(|| Some((*by, value.as_text()?.parse().ok()?))).flatten()
}

impl<Row: Entity + Clone> AnyTable for Listed<'_, Row> {
    fn select(&self, selection: &ErasedSelection) -> Rows {
        page(in_order(matching(&self.0, selection).collect(), selection.order), selection)
    }

    fn look_up(&self, keys: &Keys<'_>) -> Rows {
        let found = self.0.iter().filter(|row| keys.values.contains(&key_of(*row)));
        Rows::in_memory::<Row>(found.cloned().collect())
    }

    fn count(&self, selection: &ErasedSelection) -> u64 {
        matching(&self.0, selection).count() as u64
    }

    fn numbers(&self, selection: &ErasedSelection, text: &str, number: &str) -> Vec<(String, i64)> {
        numbers(matching(&self.0, selection), text, number)
    }
}

fn in_order<Row: Entity>(mut rows: Vec<&Row>, order: Order) -> Vec<&Row> {
    let by = |columns: &'static [&'static str]| {
        move |row: &&Row| columns.iter().map(|column| cell(*row, column)).collect::<Vec<_>>()
    };
    match order {
        Order::Any => {}
        Order::Ascending(columns) => rows.sort_by_cached_key(by(columns)),
        Order::Descending(columns) => {
            rows.sort_by_cached_key(by(columns));
            rows.reverse();
        }
    }
    rows
}

/// The page that a selection asks for, from all its rows.
fn page<Row: Entity + Clone>(rows: Vec<&Row>, selection: &ErasedSelection) -> Rows {
    let rows = rows.into_iter().skip(selection.skipped).take(selection.limit);
    match selection.columns == Row::TABLE.read_columns() {
        true => Rows::in_memory::<Row>(rows.cloned().collect()),
        false => {
            let cells = |row: &Row| {
                let columns = Row::TABLE.columns.iter();
                CellRow(columns.map(|column| (column.name, cell(row, column.name))).collect())
            };
            Rows::stored(rows.map(cells).collect())
        }
    }
}

/// The rows that meet all conditions.
fn matching<'a, Row: Entity>(
    rows: &'a [Row],
    selection: &'a ErasedSelection,
) -> impl Iterator<Item = &'a Row> {
    let conditions: Vec<_> = selection.conditions.iter().map(holds::<Row>).collect();
    rows.iter().filter(move |row| conditions.iter().all(|holds| holds(row)))
}

/// The test of a row that a condition stands for.
fn holds<Row: Entity>(condition: &Condition) -> Box<dyn Fn(&Row) -> bool + '_> {
    fn compares<Row: Entity>(
        column: &str,
        by: Comparison,
        value: Cell<'static>,
    ) -> Box<dyn Fn(&Row) -> bool> {
        let cell = cell_of::<Row>(column);
        match by {
            Comparison::Equal => Box::new(move |row| cell(row) == value),
            Comparison::Less => Box::new(move |row| !is_null(&cell(row)) && cell(row) < value),
            Comparison::AtLeast => Box::new(move |row| cell(row) >= value),
            Comparison::Greater => Box::new(move |row| cell(row) > value),
        }
    }
    match condition {
        Condition::Compared { column, by, value } => compares(column, *by, value.clone()),
        Condition::Fixed { column, by, value } => compares(column, *by, value.cell()),
        Condition::OneOf { column, values } => {
            let cell = cell_of::<Row>(column);
            Box::new(move |row| values.contains(&cell(row)))
        }
        Condition::Among { column, is_among, texts } => {
            let cell = cell_of::<Row>(column);
            let texts: HashSet<_> = texts.iter().map(String::as_str).collect();
            Box::new(move |row| {
                let cell = cell(row);
                let is_one = cell.as_text().is_some_and(|cell| texts.contains(cell));
                is_one == *is_among
            })
        }
        Condition::AnyGroup(groups) => {
            let groups = groups.iter().map(|group| group.iter().map(holds::<Row>).collect());
            let groups: Vec<Vec<_>> = groups.collect();
            Box::new(move |row| groups.iter().any(|group| group.iter().all(|holds| holds(row))))
        }
        Condition::IsNull { column } => {
            let cell = cell_of(column);
            Box::new(move |row| is_null(&cell(row)))
        }
        Condition::IsNotNull { column } => {
            let cell = cell_of(column);
            Box::new(move |row| !is_null(&cell(row)))
        }
        Condition::Exceeds { column, other } => {
            let (cell, other) = (cell_of(column), cell_of(other));
            Box::new(move |row| cell(row) > other(row))
        }
        Condition::Contains { columns, text } => {
            let cells: Vec<_> = columns.iter().map(|column| cell_of(column)).collect();
            Box::new(move |row| {
                cells.iter().any(|cell| {
                    let cell = cell(row);
                    cell.as_text().is_some_and(|cell| cell.to_ascii_lowercase().contains(text))
                })
            })
        }
    }
}

/// NULL meets no comparison, although it is the least of all cells.
fn is_null(cell: &Cell<'_>) -> bool {
    *cell == Cell::Null
}

fn numbers<'a, Row: Entity>(
    rows: impl Iterator<Item = &'a Row>,
    text: &str,
    number: &str,
) -> Vec<(String, i64)> {
    let pair =
        |row: &Row| Some((cell(row, text).as_text()?.to_owned(), cell(row, number).as_integer()?));
    rows.filter_map(pair).collect()
}

fn key_of<Row: Entity>(row: &Row) -> Vec<Cell<'static>> {
    Row::TABLE.key().map(|column| (column.cell)(row).into_owned()).collect()
}

fn cell<Row: Entity>(row: &Row, column: &str) -> Cell<'static> {
    cell_of::<Row>(column)(row).into_owned()
}

/// The function that gives a column's value.
fn cell_of<Row: Entity>(column: &str) -> for<'row> fn(&'row Row) -> Cell<'row> {
    let Table { columns, .. } = Row::TABLE;
    let found = columns.iter().find(|known| known.name == column);
    found.map_or(|_| Cell::Null, |column| column.cell)
}

//! The statements of a selection.

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::QueryBuilder;

use super::dialect::Dialect;
use super::limit::row_limit;
use crate::queries::selection::{Condition, ErasedSelection, Extreme, Fixed, Order};
use crate::tables::Cell;

/// Selects the rows.
pub(crate) fn select<DB: Dialect>(shard: Shard, selection: &ErasedSelection) -> QueryBuilder<DB> {
    let mut query = begin(&selection.columns, shard, selection);
    let (columns, direction) = match selection.order {
        Order::Any => (&[][..], ""),
        Order::Ascending(columns) => (columns, ""),
        Order::Descending(columns) => (columns, " DESC"),
    };
    for (index, column) in columns.iter().enumerate() {
        query.push(if index == 0 { " ORDER BY " } else { ", " }).push(column).push(direction);
    }
    if selection.limit < usize::MAX {
        query.push(" LIMIT ");
        DB::bind(&mut query, &Cell::Integer(row_limit(selection.limit)));
    }
    if selection.skipped > 0 {
        query.push(" OFFSET ");
        DB::bind(&mut query, &Cell::Integer(row_limit(selection.skipped)));
    }
    query
}

/// Counts the rows.
pub(crate) fn count<DB: Dialect>(shard: Shard, selection: &ErasedSelection) -> QueryBuilder<DB> {
    begin("count(*)", shard, selection)
}

/// Counts the rows for each value of a column.
pub(crate) fn counted_by<DB: Dialect>(
    shard: Shard,
    selection: &ErasedSelection,
    group: &'static str,
) -> QueryBuilder<DB> {
    let mut query = begin(&format!("{group}, count(*)"), shard, selection);
    query.push(" GROUP BY ").push(group);
    query
}

/// Selects the least or the greatest value of a column for each value of another.
pub(crate) fn grouped<DB: Dialect>(
    shard: Shard,
    selection: &ErasedSelection,
    group: &'static str,
    extreme: Extreme,
) -> QueryBuilder<DB> {
    let value = match extreme {
        Extreme::Least(column) => format!("min({column})"),
        Extreme::Greatest(column) => format!("max({column})"),
    };
    let mut query = begin(&format!("{group}, {value}"), shard, selection);
    query.push(" GROUP BY ").push(group);
    query
}

fn begin<DB: Dialect>(
    columns: &str,
    shard: Shard,
    selection: &ErasedSelection,
) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new(format!("SELECT {columns} FROM {}", selection.table));
    if let Some(index) = selection.index {
        DB::by_index(&mut query, index);
    }
    query.push(" WHERE shard = ");
    DB::bind_shard(&mut query, shard);
    for condition in &selection.conditions {
        query.push(" AND ");
        push_condition(&mut query, condition);
    }
    query
}

fn push_condition<DB: Dialect>(query: &mut QueryBuilder<DB>, condition: &Condition) {
    match condition {
        Condition::Compared { column, by, value } => {
            query.push(format_args!("{column} {} ", by.sql()));
            DB::bind(query, value);
        }
        Condition::Fixed { column, by, value } => {
            let value = match value {
                Fixed::Word(word) => format!("'{word}'"),
                Fixed::Number(number) => number.to_string(),
                Fixed::Flag(flag) => flag.to_string(),
            };
            query.push(format_args!("{column} {} {value}", by.sql()));
        }
        Condition::OneOf { column, values } => {
            query.push(column).push(" IN (");
            for (index, value) in values.iter().enumerate() {
                query.push(if index == 0 { "" } else { ", " });
                DB::bind(query, value);
            }
            query.push(")");
        }
        Condition::Among { column, is_among, texts } => {
            DB::among(query, column, *is_among, texts);
        }
        Condition::AnyGroup(groups) if groups.is_empty() => {
            query.push("FALSE");
        }
        Condition::AnyGroup(groups) => {
            for (index, group) in groups.iter().enumerate() {
                query.push(if index == 0 { "((" } else { ") OR (" });
                for (index, condition) in group.iter().enumerate() {
                    query.push(if index == 0 { "" } else { " AND " });
                    push_condition(query, condition);
                }
            }
            query.push("))");
        }
        Condition::IsNull { column } => {
            query.push(column).push(" IS NULL");
        }
        Condition::IsNotNull { column } => {
            query.push(column).push(" IS NOT NULL");
        }
        Condition::Exceeds { column, other } => {
            query.push(format_args!("{column} > {other}"));
        }
        Condition::Contains { columns, text } => {
            query.push("(");
            for (index, column) in columns.iter().enumerate() {
                query.push(if index == 0 { "" } else { " OR " });
                DB::contains(query, column, text);
            }
            query.push(")");
        }
    }
}

//! Statements that read whole rows.
//!
//! Their columns are named one by one: a prepared `SELECT *` fails as soon as another process, of
//! a newer version, adds a column.

use sqlx::AssertSqlSafe;

use crate::tables::Entity;

/// The statement that selects rows of an entity's table from what follows. All of it is written in
/// the source, so nothing can be injected.
pub(super) fn select<Row: Entity>(rest: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SELECT {} {rest}", Row::TABLE.read_columns()))
}

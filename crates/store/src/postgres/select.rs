//! Statements that read whole rows.
//!
//! Their columns are listed: a prepared `SELECT *` fails as soon as a process of a newer version
//! adds a column.

use sqlx::AssertSqlSafe;

use crate::tables::Entity;

/// A statement that selects rows of an entity's table; `rest` begins with FROM. All of it is written
/// in the source, so nothing can be injected.
pub(super) fn select<Row: Entity>(rest: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("SELECT {} {rest}", Row::TABLE.read_columns()))
}

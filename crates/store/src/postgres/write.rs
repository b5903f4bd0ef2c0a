//! The statement that writes a batch: all of its tables at once, one part for each, whatever the number
//! of rows.
//!
//! Decision: docs/decisions/a-batch-is-one-statement.md

use std::fmt::Write;
use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};

use super::arguments::{add_column, add_keys, shard_argument, unnest};
use super::errors::store_error;
use super::load;
use crate::error::StoreError;
use crate::queries::selection::ErasedSelection;
use crate::sql;
use crate::tables::{
    Entity, Keys, OnConflict, PerTableCache, Table, TableKey, TableReads, TableWrites,
};

/// Reads of a shard's tables on one connection.
pub(super) struct ShardReads<'c> {
    pub(super) connection: &'c mut PgConnection,
    pub(super) shard: Shard,
}

impl TableReads for ShardReads<'_> {
    async fn look_up<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<Vec<Row>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        load::by_key(self.connection, self.shard, &Keys::of::<Row>(keys)).await?.read()
    }

    async fn count_by(
        &mut self,
        selection: &ErasedSelection,
        column: &'static str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let mut query = sql::counted_by(self.shard, selection, column);
        let found = query.build_query_as().fetch_all(&mut *self.connection).await;
        found.map_err(store_error)
    }
}

/// A statement that writes to a shard's tables if its first part, `shard_row`, has a row. It answers
/// with that row.
pub(super) struct ShardWrites {
    sql: String,
    arguments: PgArguments,
}

impl ShardWrites {
    /// Begins with the query of `shard_row`. `$1` is the shard, and `bind` adds the parameters after
    /// it.
    pub(super) fn begin(
        shard: Shard,
        shard_row: &str,
        bind: impl FnOnce(&mut PgArguments) -> Result<(), sqlx::error::BoxDynError>,
    ) -> Result<ShardWrites, sqlx::Error> {
        let mut arguments = shard_argument(shard)?;
        bind(&mut arguments).map_err(sqlx::Error::Encode)?;
        Ok(ShardWrites { sql: format!("WITH shard_row AS ({shard_row})"), arguments })
    }

    /// The statement and its parameters.
    pub(super) fn end(mut self) -> (AssertSqlSafe<String>, PgArguments) {
        self.sql.push_str(" SELECT * FROM shard_row");
        (AssertSqlSafe(self.sql), self.arguments)
    }

    /// Adds a part. `text` is made of the number of its first parameter.
    fn add_part(&mut self, first_parameter: usize, before: &str, after: &str, values: &str) {
        // The parameters' numbers are names enough.
        _ = write!(self.sql, ", part_{first_parameter} AS ({before} {values} {after})");
    }
}

impl TableWrites for ShardWrites {
    fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let first_parameter = self.arguments.len() + 1;
        for column in table.columns {
            let cells: Vec<_> = rows.iter().map(|row| (column.cell)(row)).collect();
            add_column(&mut self.arguments, column.kind, &cells)?;
        }
        let values = unnest(first_parameter, table.columns.iter().map(|column| column.kind));
        let (before, after) = insert(table, on_conflict);
        self.add_part(first_parameter, &before, &after, &values);
        Ok(())
    }

    fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let first_parameter = self.arguments.len() + 1;
        add_keys(&mut self.arguments, &Keys::of::<Row>(keys))?;
        let values = unnest(first_parameter, Row::TABLE.key().map(|column| column.kind));
        let (before, after) = delete(&Row::TABLE);
        self.add_part(first_parameter, &before, &after, &values);
        Ok(())
    }
}

/// What is before the values of a part of a statement, and what after.
type Part = (Arc<str>, Arc<str>);

fn insert<Row>(table: &Table<Row>, on_conflict: OnConflict) -> Part {
    static INSERTS: PerTableCache<Part> = PerTableCache::new();
    static UPDATES: PerTableCache<Part> = PerTableCache::new();
    static REPLACEMENTS: PerTableCache<Part> = PerTableCache::new();
    let cache = match on_conflict {
        OnConflict::Fail => &INSERTS,
        OnConflict::Update => &UPDATES,
        OnConflict::Replace => &REPLACEMENTS,
    };
    cache.get(table.name, || {
        let (name, columns) = (table.name, table.all_columns());
        let before = format!(
            "INSERT INTO {name} (shard, {columns}) SELECT $1, new.* FROM shard_row CROSS JOIN"
        );
        let after = format!("AS new {}", table.on_conflict(on_conflict, "greatest"));
        (before.into(), after.into())
    })
}

fn delete<Row>(table: &Table<Row>) -> Part {
    static DELETES: PerTableCache<Part> = PerTableCache::new();
    DELETES.get(table.name, || {
        let (name, key) = (table.name, table.key_columns());
        let equal = table.key().map(|column| format!("{name}.{0} = deleted.{0}", column.name));
        let equal = equal.collect::<Vec<_>>().join(" AND ");
        let before = format!("DELETE FROM {name} USING shard_row CROSS JOIN");
        let after = format!("AS deleted ({key}) WHERE {name}.shard = $1 AND {equal}");
        (before.into(), after.into())
    })
}

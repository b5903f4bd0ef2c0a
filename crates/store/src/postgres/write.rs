//! Writes to the tables: one statement for each table, whatever the number of rows, and none if
//! there are no rows.

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{AssertSqlSafe, PgConnection};

use super::arguments::{add_column, key_arguments, shard_argument, unnest};
use super::errors::store_error;
use super::load;
use crate::error::StoreError;
use crate::queries::selection::ErasedSelection;
use crate::sql;
use crate::tables::{Entity, Keys, OnConflict, PerTableCache, Table, TableKey, TableTransaction};

/// The tables of a shard, in a transaction.
pub(super) struct ShardTables<'c> {
    pub(super) connection: &'c mut PgConnection,
    pub(super) shard: Shard,
}

impl TableTransaction for ShardTables<'_> {
    async fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        static INSERTS: PerTableCache<Arc<str>> = PerTableCache::new();
        static UPSERTS: PerTableCache<Arc<str>> = PerTableCache::new();
        let sql = match on_conflict {
            OnConflict::Fail => INSERTS.get(table.name, || insert(table, "")),
            OnConflict::Update => {
                UPSERTS.get(table.name, || insert(table, &table.on_conflict("greatest")))
            }
        };
        let mut arguments = shard_argument(self.shard)?;
        for column in table.columns {
            let cells: Vec<_> = rows.iter().map(|row| (column.cell)(row)).collect();
            add_column(&mut arguments, column.kind, &cells)?;
        }
        sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        if keys.is_empty() {
            return Ok(());
        }
        static DELETES: PerTableCache<Arc<str>> = PerTableCache::new();
        let sql = DELETES.get(Row::TABLE.name, || delete(&Row::TABLE));
        let keys = Keys::of::<Row>(keys);
        sqlx::query_with(AssertSqlSafe(sql), key_arguments(self.shard, &keys)?)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

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

fn insert<Row>(table: &Table<Row>, on_conflict: &str) -> Arc<str> {
    let (name, columns) = (table.name, table.all_columns());
    let values = unnest(table.columns.iter().map(|column| column.kind));
    let sql = format!(
        "INSERT INTO {name} (shard, {columns}) SELECT $1, new.* FROM {values} AS new {on_conflict}"
    );
    sql.into()
}

fn delete<Row>(table: &Table<Row>) -> Arc<str> {
    let (name, key, values) =
        (table.name, table.key_columns(), unnest(table.key().map(|column| column.kind)));
    let sql = format!(
        "DELETE FROM {name} USING {values} AS deleted ({key})
         WHERE {name}.shard = $1 AND {}",
        equal_keys(table, "deleted"),
    );
    sql.into()
}

/// The condition that a row's key is that of another.
fn equal_keys<Row>(table: &Table<Row>, other: &str) -> String {
    let name = table.name;
    let equal = table.key().map(|column| format!("{name}.{0} = {other}.{0}", column.name));
    equal.collect::<Vec<_>>().join(" AND ")
}

//! Writes to the tables: one set-based statement for each table, and none if there are no rows.

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::store_error;
use super::load;
use super::set_statement::{SetStatement, Values};
use crate::error::StoreError;
use crate::queries::selection::ErasedSelection;
use crate::sql;
use crate::tables::{Entity, Keys, OnConflict, PerTableCache, Table, TableKey, TableTransaction};

/// The tables of a shard, in a transaction.
pub(super) struct ShardTables<'c> {
    pub(super) connection: &'c mut SqliteConnection,
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
        static INSERTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
        static UPSERTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
        let statement = match on_conflict {
            OnConflict::Fail => INSERTS.get(table.name, || insert(table, "")),
            OnConflict::Update => {
                UPSERTS.get(table.name, || insert(table, &table.on_conflict("max")))
            }
        };
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, row: &Row| {
            values.push(shard);
            for column in table.columns {
                values.push_cell((column.cell)(row));
            }
        };
        statement.execute(self.connection, rows.iter().copied(), bind).await
    }

    async fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        if keys.is_empty() {
            return Ok(());
        }
        static DELETES: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
        let statement = DELETES.get(Row::TABLE.name, || delete(&Row::TABLE));
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, key: &RowKey| {
            values.push(shard);
            key.cells().into_iter().for_each(|cell| values.push_cell(cell));
        };
        statement.execute(self.connection, keys.iter(), bind).await
    }

    async fn look_up<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<Vec<Row>, StoreError> {
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

fn insert<Row>(table: &Table<Row>, on_conflict: &str) -> Arc<SetStatement> {
    let (name, columns) = (table.name, table.all_columns());
    let sql = format!("INSERT INTO {name} (shard, {columns}) VALUES {{rows}} {on_conflict}");
    Arc::new(SetStatement::of(1 + table.columns.len(), sql.into()))
}

fn delete<Row>(table: &Table<Row>) -> Arc<SetStatement> {
    let (name, key) = (table.name, table.key_columns());
    let sql = format!("DELETE FROM {name} WHERE (shard, {key}) IN (VALUES {{rows}})");
    Arc::new(SetStatement::of(1 + table.key().count(), sql.into()))
}

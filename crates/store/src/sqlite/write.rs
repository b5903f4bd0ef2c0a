//! Writes to the tables: set-based statements for each table, and none if there are no rows.
//!
//! Decision: docs/decisions/a-batch-is-one-statement.md

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::store_error;
use super::load;
use super::set_statement::{self, BoundStatement, SetStatement, Values};
use crate::error::StoreError;
use crate::queries::selection::ErasedSelection;
use crate::sql;
use crate::tables::{
    Entity, Keys, OnConflict, PerTableCache, Table, TableKey, TableReads, TableWrites,
};

/// Reads of a shard's tables, in a transaction.
pub(super) struct ShardReads<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) shard: Shard,
}

impl TableReads for ShardReads<'_> {
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

/// The statements that write to a shard's tables.
pub(super) struct ShardWrites {
    shard: Shard,
    statements: Vec<BoundStatement>,
}

impl ShardWrites {
    pub(super) fn begin(shard: Shard) -> ShardWrites {
        ShardWrites { shard, statements: Vec::new() }
    }

    /// Runs all statements.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        set_statement::run(connection, self.statements).await
    }
}

impl TableWrites for ShardWrites {
    fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error> {
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, row: &Row| {
            values.push(shard);
            for column in table.columns {
                values.push_cell((column.cell)(row));
            }
        };
        let parts = insert(table, on_conflict).parts(rows.iter().copied(), bind)?;
        self.statements.extend(parts);
        Ok(())
    }

    fn delete<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> Result<(), sqlx::Error> {
        let shard = i64::from(self.shard.0);
        let bind = |values: &mut Values, key: &RowKey| {
            values.push(shard);
            key.cells().into_iter().for_each(|cell| values.push_cell(cell));
        };
        self.statements.extend(delete(&Row::TABLE).parts(keys.iter(), bind)?);
        Ok(())
    }
}

fn insert<Row>(table: &Table<Row>, on_conflict: OnConflict) -> Arc<SetStatement> {
    static INSERTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    static UPDATES: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    static REPLACEMENTS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    let cache = match on_conflict {
        OnConflict::Fail => &INSERTS,
        OnConflict::Update => &UPDATES,
        OnConflict::Replace => &REPLACEMENTS,
    };
    cache.get(table.name, || {
        let (name, columns) = (table.name, table.all_columns());
        let on_conflict = table.on_conflict(on_conflict, "max");
        let sql = format!("INSERT INTO {name} (shard, {columns}) VALUES {{rows}} {on_conflict}");
        Arc::new(SetStatement::of(1 + table.columns.len(), sql.into()))
    })
}

fn delete<Row>(table: &Table<Row>) -> Arc<SetStatement> {
    static DELETES: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    DELETES.get(table.name, || {
        let (name, key) = (table.name, table.key_columns());
        let sql = format!("DELETE FROM {name} WHERE (shard, {key}) IN (VALUES {{rows}})");
        Arc::new(SetStatement::of(1 + table.key().count(), sql.into()))
    })
}

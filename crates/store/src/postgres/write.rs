//! Writing what a plan or a fold says: one statement for each table, whatever the number of
//! rows, and none for a table that nothing is written to.

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};

use super::load;
use crate::error::StoreError;
use crate::tables::{
    Cell, Entity, Keys, Kind, OnConflict, PerTableCache, Table, TableKey, TableTransaction, listed,
};

/// One column of many rows, as UNNEST takes it.
pub(super) fn column<'a, Row, Value>(
    rows: &'a [Row],
    value: impl FnMut(&'a Row) -> Value,
) -> Vec<Value> {
    rows.iter().map(value).collect()
}

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
        let mut arguments = of_shard(self.shard)?;
        for column in table.columns {
            let cells: Vec<_> = rows.iter().map(|row| (column.cell)(row)).collect();
            add_column(&mut arguments, column.kind, &cells).map_err(sqlx::Error::Encode)?;
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
        "DELETE FROM {name} USING {values} AS gone ({key})
         WHERE {name}.shard = $1 AND {}",
        equal_keys(table, "gone"),
    );
    sql.into()
}

/// Whether a row's key is that of another, in SQL.
fn equal_keys<Row>(table: &Table<Row>, other: &str) -> String {
    let name = table.name;
    let equal = table.key().map(|column| format!("{name}.{0} = {other}.{0}", column.name));
    equal.collect::<Vec<_>>().join(" AND ")
}

/// The values of columns of these kinds, from `$2` on, an array for each, as a table.
pub(super) fn unnest(kinds: impl Iterator<Item = Kind>) -> String {
    let arrays = kinds.enumerate().map(|(index, kind)| {
        let element = match kind {
            Kind::Text => "text",
            Kind::Integer => "bigint",
            Kind::Small => "int",
            Kind::Boolean => "bool",
            Kind::Bytes => "bytea",
        };
        format!("${}::{element}[]", index + 2)
    });
    format!("unnest({})", listed(arrays))
}

/// The parameters of a statement about rows by their keys.
pub(super) fn key_arguments(shard: Shard, keys: &Keys<'_>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = of_shard(shard)?;
    for (index, (_, kind)) in keys.table.key.iter().enumerate() {
        let cells: Vec<_> = keys.values.iter().map(|key| key[index].clone()).collect();
        add_column(&mut arguments, *kind, &cells).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

pub(super) fn of_shard(shard: Shard) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.add(i32::from(shard.0)).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

fn add_column(
    arguments: &mut PgArguments,
    kind: Kind,
    cells: &[Cell<'_>],
) -> Result<(), BoxDynError> {
    // A cell of another kind than its column's would be a defect of the table's description; the
    // database refuses the NULL that becomes of it, or a test misses the value.
    fn all<'a, T>(
        cells: &'a [Cell<'a>],
        value: impl Fn(&'a Cell<'a>) -> Option<T>,
    ) -> Vec<Option<T>> {
        cells.iter().map(value).collect()
    }
    match kind {
        Kind::Text => arguments.add(all(cells, Cell::as_text)),
        Kind::Integer => arguments.add(all(cells, Cell::as_integer)),
        Kind::Small => arguments.add(all(cells, |cell| cell.as_integer().map(small))),
        Kind::Boolean => arguments.add(all(cells, Cell::as_boolean)),
        Kind::Bytes => arguments.add(all(cells, Cell::as_bytes)),
    }
}

/// A small count as a column holds it.
fn small(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

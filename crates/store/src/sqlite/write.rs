//! What a transaction writes: one set-based statement for each table that changes.

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::operation::{NewBody, Record};
use crate::projection::Changes;
use crate::store::StoreError;
use crate::tables::{BODIES, Entity, FailingEndpoint, PausedEndpoint, Table, TableKey};

pub(super) async fn records(
    connection: &mut SqliteConnection,
    shard: Shard,
    records: &[Record],
) -> Result<(), StoreError> {
    insert(connection, shard, records.iter()).await.map_err(failed)
}

pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    bodies: &[&NewBody],
) -> Result<(), StoreError> {
    let bodies = bodies.iter().copied();
    write(connection, shard, &BODIES, bodies, WhenThere::Fails).await.map_err(failed)
}

/// Writes what the fold says that the tables lack.
pub(super) async fn changes(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), StoreError> {
    write_changes(connection, shard, changes).await.map_err(failed)
}

async fn write_changes(
    connection: &mut SqliteConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    upsert(connection, shard, changes.endpoints.values()).await?;
    insert(connection, shard, changes.events.iter()).await?;
    insert(connection, shard, changes.new_deliveries.values()).await?;
    // Every row exists, so every one conflicts. An UPDATE … FROM (VALUES …) is no faster: what it
    // saves in parameters it spends on the join.
    upsert(connection, shard, changes.changed_deliveries.values()).await?;
    insert(connection, shard, changes.attempts.iter()).await?;
    insert(connection, shard, changes.missed.iter()).await?;
    upsert(connection, shard, changes.attempt_counts().iter()).await?;
    delete::<FailingEndpoint, _>(connection, shard, &changes.recovered_endpoints()).await?;
    upsert(connection, shard, changes.failing_endpoints().iter()).await?;
    delete::<PausedEndpoint, _>(connection, shard, &changes.ended_pauses()).await?;
    upsert(connection, shard, changes.begun_pauses().iter()).await?;
    upsert(connection, shard, changes.keys.values()).await?;
    upsert(connection, shard, changes.replays.values()).await?;
    upsert(connection, shard, changes.channels.values()).await?;
    upsert(connection, shard, changes.notifications.values()).await?;
    upsert(connection, shard, changes.incidents().iter()).await
}

/// What to do about a row that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenThere {
    Fails,
    Changes,
}

async fn insert<'a, Row: Entity>(
    connection: &mut SqliteConnection,
    shard: Shard,
    rows: impl ExactSizeIterator<Item = &'a Row> + Send,
) -> Result<(), sqlx::Error> {
    write(connection, shard, &Row::TABLE, rows, WhenThere::Fails).await
}

async fn upsert<'a, Row: Entity>(
    connection: &mut SqliteConnection,
    shard: Shard,
    rows: impl ExactSizeIterator<Item = &'a Row> + Send,
) -> Result<(), sqlx::Error> {
    write(connection, shard, &Row::TABLE, rows, WhenThere::Changes).await
}

async fn write<'a, Row: Sync + 'a>(
    connection: &mut SqliteConnection,
    shard: Shard,
    table: &Table<Row>,
    rows: impl ExactSizeIterator<Item = &'a Row> + Send,
    when_there: WhenThere,
) -> Result<(), sqlx::Error> {
    if rows.len() == 0 {
        return Ok(());
    }
    let (name, columns) = (table.name, table.all_columns());
    let on_conflict = match when_there {
        WhenThere::Fails => String::new(),
        WhenThere::Changes => table.on_conflict("max"),
    };
    let sql = format!("INSERT INTO {name} (shard, {columns}) VALUES {{rows}} {on_conflict}");
    let bind = |values: &mut Values, row: &Row| {
        values.push(number(shard));
        for column in table.columns {
            values.push_cell((column.cell)(row));
        }
    };
    SetStatement::of(1 + table.columns.len(), sql.into()).execute(connection, rows, bind).await
}

/// Deletes the rows of these keys, as far as they exist.
async fn delete<Row: Entity, Key: TableKey>(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &[Key],
) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let (name, key) = (Row::TABLE.name, Row::TABLE.key_columns());
    let sql = format!("DELETE FROM {name} WHERE (shard, {key}) IN (VALUES {{rows}})");
    let bind = |values: &mut Values, key: &Key| {
        values.push(number(shard));
        key.cells().into_iter().for_each(|cell| values.push_cell(cell));
    };
    let columns = 1 + Row::TABLE.key().count();
    SetStatement::of(columns, sql.into()).execute(connection, keys.iter(), bind).await
}

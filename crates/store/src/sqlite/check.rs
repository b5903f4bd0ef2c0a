//! Whether the projections are what the log says.
//!
//! The log is folded into temporary tables of the same names: SQLite looks for a table among
//! the temporary ones first, so the very statements that appends use write to them. Then each
//! table is compared with its shadow. All of it happens in one transaction that only reads the
//! database's file, and so sees one snapshot, on a connection of its own, with which the
//! shadows go away.

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::errors::failed;
use super::rebuild::fold_log;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::store::RebuildDifference;
use crate::tables::projections;

pub(super) async fn check(
    mut connection: SqliteConnection,
    shard: Shard,
    limit: usize,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<Vec<RebuildDifference>, StoreError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    for table in projections().map(|table| table.name) {
        create_shadow(&mut transaction, table).await?;
    }
    fold_log(&mut transaction, shard, progress).await?;
    let mut differences = Vec::new();
    for table in projections().map(|table| table.name) {
        let rest = limit - differences.len();
        differences.extend(compare(&mut transaction, table, shard, rest).await?);
    }
    transaction.rollback().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(differences)
}

/// An empty temporary table with the columns and the primary key of a real one.
async fn create_shadow(
    connection: &mut SqliteConnection,
    table: &'static str,
) -> Result<(), StoreError> {
    let (definition,): (String,) =
        sqlx::query_as("SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?")
            .bind(table)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    // SQLite keeps definitions with exactly this beginning, however they were written.
    let definition = definition.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1);
    sqlx::raw_sql(AssertSqlSafe(definition)).execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Rows that are not the same in the table and in its shadow, or are only in one of them.
async fn compare(
    connection: &mut SqliteConnection,
    table: &'static str,
    shard: Shard,
    limit: usize,
) -> Result<Vec<RebuildDifference>, StoreError> {
    let columns: Vec<Column> = sqlx::query_as(
        "SELECT name, pk > 0 AS is_key FROM pragma_table_info(?, 'main') ORDER BY cid",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let found: Vec<(Option<String>, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(comparison(table, &columns)))
            .bind(number(shard))
            .bind(sql_limit(limit))
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    let differences = found.into_iter();
    Ok(differences.map(|(stored, rebuilt)| RebuildDifference { table, stored, rebuilt }).collect())
}

#[derive(sqlx::FromRow)]
struct Column {
    name: String,
    is_key: bool,
}

/// Pairs rows by their primary key: each costs a look into the other table, and nothing is
/// sorted or copied. Parameters: the shard and the limit. All names are the schema's.
fn comparison(table: &str, columns: &[Column]) -> String {
    let of = |side: &str, only_key: bool| -> String {
        let columns = columns.iter().filter(|column| column.is_key || !only_key);
        columns.map(|column| format!("{side}.{}", column.name)).collect::<Vec<_>>().join(", ")
    };
    let (stored_text, rebuilt_text) = (text_of("stored", columns), text_of("rebuilt", columns));
    let (stored_key, rebuilt_key) = (of("stored", true), of("rebuilt", true));
    let (stored_row, rebuilt_row) = (of("stored", false), of("rebuilt", false));
    format!(
        "SELECT {stored_text}, iif(rebuilt.shard IS NULL, NULL, {rebuilt_text})
         FROM main.{table} AS stored
         LEFT JOIN temp.{table} AS rebuilt ON ({rebuilt_key}) = ({stored_key})
         WHERE stored.shard = ?1 AND ({stored_row}) IS NOT ({rebuilt_row})
         UNION ALL
         SELECT NULL, {rebuilt_text}
         FROM temp.{table} AS rebuilt
         LEFT JOIN main.{table} AS stored ON ({stored_key}) = ({rebuilt_key})
         WHERE stored.shard IS NULL
         LIMIT ?2"
    )
}

/// SQL for a row's text: `column=value`, in one line, secrets left out.
fn text_of(side: &str, columns: &[Column]) -> String {
    let values = columns.iter().map(|Column { name, .. }| {
        let is_secret = name.ends_with("_nonce") || name.ends_with("_ciphertext");
        match is_secret {
            true => format!("'{name}=' || iif({side}.{name} IS NULL, 'NULL', '…')"),
            false => format!("'{name}=' || quote({side}.{name})"),
        }
    });
    values.collect::<Vec<_>>().join(" || ' ' || ")
}

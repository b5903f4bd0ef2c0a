//! Checks that the projections are what the log says.
//!
//! The log is folded into temporary tables of the same names: SQLite looks for a table among the
//! temporary ones first, so the statements of appends write to them. Then each table is compared
//! with its shadow. All of it is one transaction that only reads the database's file, and so sees
//! one snapshot. Its connection is its own: the shadows go away with it.

use futures_util::TryStreamExt;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::errors::store_error;
use super::rebuild::fold_log;
use crate::error::StoreError;
use crate::store::RebuildDifference;
use crate::tables::{Kind, Projection, RowDifference, listed, projections};

pub(super) async fn check(
    mut connection: SqliteConnection,
    shard: Shard,
    limit: usize,
    now: Timestamp,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<Vec<RebuildDifference>, StoreError> {
    let mut transaction = connection.begin().await.map_err(store_error)?;
    for table in projections().map(|table| table.name) {
        create_shadow(&mut transaction, table).await?;
    }
    fold_log(&mut transaction, shard, now, progress).await?;
    let mut differences = Vec::new();
    for projection in projections() {
        let remaining = limit - differences.len();
        differences.extend(compare(&mut transaction, &projection, shard, remaining).await?);
    }
    transaction.rollback().await.map_err(store_error)?;
    connection.close().await.map_err(store_error)?;
    Ok(differences)
}

/// Creates an empty temporary table with the columns and the primary key of the real one.
async fn create_shadow(
    connection: &mut SqliteConnection,
    table: &'static str,
) -> Result<(), StoreError> {
    let (definition,): (String,) =
        sqlx::query_as("SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?")
            .bind(table)
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
    // SQLite normalizes the beginning of definitions to exactly this.
    let definition = definition.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1);
    sqlx::raw_sql(AssertSqlSafe(definition)).execute(connection).await.map_err(store_error)?;
    Ok(())
}

/// Finds rows that differ between the table and its shadow, or are only in one of them.
async fn compare(
    connection: &mut SqliteConnection,
    projection: &Projection,
    shard: Shard,
    limit: usize,
) -> Result<Vec<RebuildDifference>, StoreError> {
    let mut pairs = sqlx::query(AssertSqlSafe(comparison(projection)))
        .bind(i64::from(shard.0))
        .fetch(connection);
    let mut differences = Vec::new();
    while differences.len() < limit {
        let Some(pair) = pairs.try_next().await.map_err(store_error)? else { break };
        if let Some(RowDifference { stored, rebuilt }) =
            projection.difference(projection.pair(&pair)?)?
        {
            differences.push(RebuildDifference { table: projection.name, stored, rebuilt });
        }
    }
    Ok(differences)
}

/// Pairs rows by their primary key: each costs a lookup in the other table, and nothing is sorted
/// or copied. The parameter is the shard.
fn comparison(projection: &Projection) -> String {
    let (table, pairs) = (projection.name, projection.select_pairs(converted));
    let of = |side: &str, columns: &[&str]| {
        listed(columns.iter().map(|column| format!("{side}.{column}")))
    };
    let key = |side: &str| format!("{side}.shard, {}", of(side, &projection.key));
    let row = |side: &str| of(side, &projection.columns);
    let (stored_key, rebuilt_key) = (key("stored"), key("rebuilt"));
    let (stored_row, rebuilt_row) = (row("stored"), row("rebuilt"));
    format!(
        "SELECT {pairs}
         FROM main.{table} AS stored
         LEFT JOIN temp.{table} AS rebuilt ON ({rebuilt_key}) = ({stored_key})
         WHERE stored.shard = ?1 AND ({stored_row}) IS NOT ({rebuilt_row})
         UNION ALL
         SELECT {pairs}
         FROM temp.{table} AS rebuilt
         LEFT JOIN main.{table} AS stored ON ({stored_key}) = ({rebuilt_key})
         WHERE stored.shard IS NULL"
    )
}

fn converted(kind: Kind, column: &str) -> String {
    match kind {
        Kind::Text | Kind::Bytes => format!("CAST({column} AS BLOB)"),
        Kind::Integer | Kind::Small | Kind::Boolean => column.to_owned(),
    }
}

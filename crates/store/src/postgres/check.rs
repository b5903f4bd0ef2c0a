//! Checks that the projections are what the log says.
//!
//! The log is folded into temporary tables of the same names: Postgres looks for a table among the
//! temporary ones first, so the statements of appends write to them. The transaction is read-only,
//! so it can write to temporary tables only, and has one snapshot.

use std::time::Duration;

use futures_util::TryStreamExt;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;

use super::connector::Connector;
use super::errors::store_error;
use super::long_statements::{SettingScope, backend_pid, remove_time_limits, while_server_answers};
use super::pool::Pool;
use super::rebuild::fold_log;
use super::session::answered;
use crate::error::StoreError;
use crate::store::RebuildDifference;
use crate::tables::{Kind, Projection, RowDifference, listed, projections};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Compares the shard's projections with its log, on a connection of its own: statements that a
/// pooled one has prepared might still mean the real tables.
pub(super) async fn check(
    connector: &Connector,
    readers: &Pool,
    shard: Shard,
    limit: usize,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<Vec<RebuildDifference>, StoreError> {
    let limits = readers.limits();
    let connected = connector.connect(&limits, CONNECT_LIMIT).await;
    let mut connection = connected.map_err(|error| StoreError::Unavailable(error.into()))?;
    let backend = answered(limits.answer, backend_pid(&mut connection)).await?;
    let checked = check_on(&mut connection, shard, limit, progress);
    let differences = while_server_answers(readers, backend, checked).await?;
    // The outcome does not depend on how the connection ends.
    let _ = timeout(limits.answer, connection.close()).await;
    Ok(differences)
}

async fn check_on(
    connection: &mut PgConnection,
    shard: Shard,
    limit: usize,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<Vec<RebuildDifference>, StoreError> {
    let schema = create_shadows(connection).await.map_err(store_error)?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut snapshot = connection.begin_with(begin).await.map_err(store_error)?;
    fold_log(&mut snapshot, shard, progress).await?;
    let mut differences = Vec::new();
    for projection in projections() {
        let remaining = limit.saturating_sub(differences.len());
        differences.extend(compare(&mut snapshot, &schema, &projection, shard, remaining).await?);
    }
    snapshot.rollback().await.map_err(store_error)?;
    Ok(differences)
}

/// Creates the temporary tables, which go away with the connection. Answers with the quoted schema
/// of the real tables.
async fn create_shadows(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    remove_time_limits(connection, SettingScope::Session).await?;
    let schema: String = sqlx::query_scalar(
        "SELECT quote_ident(nspname)
         FROM pg_class
         JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
         WHERE pg_class.oid = 'records'::regclass",
    )
    .fetch_one(&mut *connection)
    .await?;
    for Projection { name: table, .. } in projections() {
        let create =
            format!("CREATE TEMPORARY TABLE {table} (LIKE {schema}.{table} INCLUDING INDEXES)");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
    }
    Ok(schema)
}

/// Finds rows that differ, paired by their keys.
async fn compare(
    connection: &mut PgConnection,
    schema: &str,
    projection: &Projection,
    shard: Shard,
    limit: usize,
) -> Result<Vec<RebuildDifference>, StoreError> {
    let (table, key) = (projection.name, listed(projection.key.iter()));
    let sql = format!(
        "SELECT {pairs}
         FROM (SELECT * FROM {schema}.{table} WHERE shard = $1) AS stored
         FULL JOIN (SELECT * FROM pg_temp.{table}) AS rebuilt USING (shard, {key})
         WHERE stored IS DISTINCT FROM rebuilt
         ORDER BY {key}",
        pairs = projection.select_pairs(converted),
    );
    let mut pairs = sqlx::query(AssertSqlSafe(sql)).bind(i32::from(shard.0)).fetch(connection);
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

fn converted(kind: Kind, column: &str) -> String {
    match kind {
        Kind::Text => format!("convert_to({column}, 'UTF8')"),
        Kind::Bytes => column.to_owned(),
        Kind::Integer | Kind::Small => format!("{column}::bigint"),
        Kind::Boolean => format!("{column}::int::bigint"),
    }
}

//! Holding the projections against the log, without changing them.
//!
//! The log is folded into temporary tables with the projections' names: Postgres looks for
//! tables among the temporary ones first, so the statements that appends use fill these. The
//! transaction is read-only, which lets it write to temporary tables only, and has one snapshot.

use std::time::Duration;

use futures_util::TryStreamExt;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;

use super::connector::Connector;
use super::errors::store_error;
use super::pool::Pool;
use super::rebuild::fold;
use super::session::{Scope, answered, backend, while_answering, without_limits};
use crate::error::StoreError;
use crate::store::RebuildDifference;
use crate::tables::{Projection, RowDifference, RowPair, listed, projections};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Compares the shard's projections with what its log says.
///
/// On a connection of its own: statements that a pooled one has prepared might still mean the
/// tables that stand.
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
    let backend = answered(limits.answer, backend(&mut connection)).await?;
    let checked = check_on(&mut connection, shard, limit, progress);
    let differences = while_answering(readers, backend, checked).await?;
    // The answer stands, whatever becomes of the connection.
    let _ = timeout(limits.answer, connection.close()).await;
    Ok(differences)
}

async fn check_on(
    connection: &mut PgConnection,
    shard: Shard,
    limit: usize,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<Vec<RebuildDifference>, StoreError> {
    let schema = shadow(connection).await.map_err(store_error)?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut snapshot = connection.begin_with(begin).await.map_err(store_error)?;
    fold(&mut snapshot, shard, progress).await?;
    let mut differences = Vec::new();
    for projection in projections() {
        let room = limit.saturating_sub(differences.len());
        differences.extend(compare(&mut snapshot, &schema, &projection, shard, room).await?);
    }
    snapshot.rollback().await.map_err(store_error)?;
    Ok(differences)
}

/// Makes the temporary tables; they go with the connection. Answers with the schema, quoted,
/// that those which stand are in.
async fn shadow(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    without_limits(connection, Scope::Session).await?;
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

/// Rows that differ, those of the same key side by side. Rendered as `column=value`, values as
/// in JSON, so that a row takes one line.
async fn compare(
    connection: &mut PgConnection,
    schema: &str,
    projection: &Projection,
    shard: Shard,
    limit: usize,
) -> Result<Vec<RebuildDifference>, StoreError> {
    let (table, key) = (projection.name, listed(projection.key.iter()));
    let render = |side: &str| {
        let cells = projection.plain_columns.iter().map(|column| {
            format!("'{column}=' || coalesce(to_json({side}.{column})::text, 'null')")
        });
        let row = listed(cells);
        format!("CASE WHEN {side}.shard IS NOT NULL THEN concat_ws(' ', {row}) END")
    };
    let sql = format!(
        "SELECT {stored_row} AS stored, {rebuilt_row} AS rebuilt, {documents}
         FROM (SELECT * FROM {schema}.{table} WHERE shard = $1) AS stored
         FULL JOIN (SELECT * FROM pg_temp.{table}) AS rebuilt USING (shard, {key})
         WHERE stored IS DISTINCT FROM rebuilt
         ORDER BY {key}",
        stored_row = render("stored"),
        rebuilt_row = render("rebuilt"),
        documents = projection.select_documents(),
    );
    let mut pairs =
        sqlx::query_as::<_, RowPair>(AssertSqlSafe(sql)).bind(i32::from(shard.0)).fetch(connection);
    let mut differences = Vec::new();
    while differences.len() < limit {
        let Some(pair) = pairs.try_next().await.map_err(store_error)? else { break };
        if let Some(RowDifference { stored, rebuilt }) = projection.difference(pair)? {
            differences.push(RebuildDifference { table: projection.name, stored, rebuilt });
        }
    }
    Ok(differences)
}

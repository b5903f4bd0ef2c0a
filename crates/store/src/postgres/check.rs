//! Holding the projections against the log, without changing them.
//!
//! The log is folded into temporary tables with the projections' names: Postgres looks for
//! tables among the temporary ones first, so the statements that appends use fill these. The
//! transaction is read-only, which lets it write to temporary tables only, and has one snapshot.

use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;

use super::connector::Connector;
use super::errors::store_error;
use super::pool::Pool;
use super::reads::rows;
use super::rebuild::fold;
use super::session::{Scope, answered, backend, while_answering, without_limits};
use crate::error::StoreError;
use crate::store::RebuildDifference;
use crate::tables::{Projection, projections};

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
    for Projection { name, key_columns } in projections() {
        let room = limit.saturating_sub(differences.len());
        let found = compare(&mut snapshot, &schema, name, &key_columns, shard, room).await;
        differences.extend(found.map_err(store_error)?);
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
/// in JSON, so that a row takes one line; what belongs to a secret is left out.
async fn compare(
    connection: &mut PgConnection,
    schema: &str,
    table: &'static str,
    key: &str,
    shard: Shard,
    limit: usize,
) -> Result<Vec<RebuildDifference>, sqlx::Error> {
    let render = |row: &str| {
        format!(
            "(SELECT string_agg(
                 key || '=' || CASE WHEN key LIKE '%nonce' OR key LIKE '%ciphertext'
                                    THEN '…' ELSE value::text END,
                 ' ' ORDER BY place)
              FROM json_each(to_json({row})) WITH ORDINALITY AS cell (key, value, place)
              WHERE key <> 'shard')"
        )
    };
    let sql = format!(
        "SELECT {stored_row}, {rebuilt_row}
         FROM (SELECT * FROM {schema}.{table} WHERE shard = $1) AS stored
         FULL JOIN (SELECT * FROM pg_temp.{table}) AS rebuilt USING (shard, {key})
         WHERE stored IS DISTINCT FROM rebuilt
         ORDER BY {key}
         LIMIT $2",
        stored_row = render("stored"),
        rebuilt_row = render("rebuilt"),
    );
    let found: Vec<(Option<String>, Option<String>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(i32::from(shard.0))
        .bind(rows(limit))
        .fetch_all(connection)
        .await?;
    let differences =
        found.into_iter().map(|(stored, rebuilt)| RebuildDifference { table, stored, rebuilt });
    Ok(differences.collect())
}

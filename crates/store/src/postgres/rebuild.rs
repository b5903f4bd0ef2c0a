//! Folding the log again, with the same functions that appends use.

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, PgConnection};

use super::errors::store_error;
use super::pool::Pool;
use super::reads::records_query;
use super::session::{Scope, Session, answered, backend, commit, while_answering, without_limits};
use super::write::ShardTables;
use crate::error::StoreError;
use crate::limits::REBUILD_STEP;
use crate::log::operation::Record;
use crate::log::projection::{AffectedRows, Fold};
use crate::tables::read_all;
use crate::tables::{self, projections};

/// Drops the shard's projections and folds them again. Appends wait for the shard's row as long
/// as they wait for any lock, and are then told to try again.
pub(super) async fn rebuild(
    writers: &Pool,
    readers: &Pool,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut session = Session::of(writers).await?;
    let limit = session.answer_limit();
    let backend = answered(limit, backend(&mut session)).await?;
    let mut transaction = session.begin().await?;
    let folded = async {
        prepare(&mut transaction, shard).await.map_err(store_error)?;
        clear(&mut transaction, shard).await?;
        fold(&mut transaction, shard, progress).await
    };
    while_answering(readers, backend, folded).await?;
    commit(limit, transaction).await?;
    session.finish();
    Ok(())
}

/// Locks the shard, for as long as it takes.
async fn prepare(connection: &mut PgConnection, shard: Shard) -> Result<(), sqlx::Error> {
    const LOCK: &str = "SELECT FROM shards WHERE shard = $1 FOR UPDATE";
    // However many rows there are; a client that was interrupted meanwhile is looked for, since the
    // server would otherwise finish. (Not every server can.)
    const NOTICE_CLIENTS_THAT_GO: &str = "
        SELECT set_config(name, '1s', true)
        FROM pg_settings
        WHERE name = 'client_connection_check_interval'";
    without_limits(connection, Scope::Transaction).await?;
    sqlx::raw_sql(NOTICE_CLIENTS_THAT_GO).execute(&mut *connection).await?;
    sqlx::query(LOCK).bind(i32::from(shard.0)).execute(&mut *connection).await?;
    Ok(())
}

async fn clear(connection: &mut PgConnection, shard: Shard) -> Result<(), StoreError> {
    for table in projections() {
        if let Some(newest) = table.select_newest("$1") {
            let newest = sqlx::query_scalar(AssertSqlSafe(newest)).bind(i32::from(shard.0));
            let newest = newest.fetch_one(&mut *connection).await.map_err(store_error)?;
            table.check_newest(newest)?;
        }
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {} WHERE shard = $1", table.name)))
            .bind(i32::from(shard.0))
            .execute(&mut *connection)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Folds the whole log into tables that are empty, step by step, so that memory does not grow
/// with the log.
pub(super) async fn fold(
    connection: &mut PgConnection,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut after = Position::START;
    loop {
        let rows = records_query(shard, after, REBUILD_STEP).fetch_all(&mut *connection).await;
        let records: Vec<Record> = read_all(rows.map_err(store_error)?)?;
        let Some(last) = records.last() else { return Ok(()) };
        after = last.position;
        let facts =
            records.iter().map(|record| (&record.organization_id, record.stream, &record.fact));
        let mut tables = ShardTables { connection: &mut *connection, shard };
        let loaded = tables::load(&mut tables, &AffectedRows::of(facts)).await?;
        let mut fold = Fold::new(loaded);
        records.iter().try_for_each(|record| fold.apply(record))?;
        tables::write_changes(&mut tables, &fold.into_changes()).await.map_err(store_error)?;
        progress(after);
    }
}

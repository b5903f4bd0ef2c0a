//! Rebuilds the projections from the log, with the same functions that appends use.

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, PgConnection};

use super::errors::store_error;
use super::log_reads;
use super::long_statements::{SettingScope, backend_pid, remove_time_limits, while_server_answers};
use super::pool::Pool;
use super::session::{Session, answered, commit};
use super::write::{ShardReads, ShardWrites};
use crate::error::StoreError;
use crate::limits::REBUILD_STEP;
use crate::log::integrity::LogVerifier;
use crate::log::projection::Changes;
use crate::sql::fold_records;
use crate::tables::{self, projections};

/// Deletes the shard's projections and folds the log into them again. Appends to the shard fail
/// meanwhile with [`StoreError::Unavailable`], after they have waited for the shard's row.
pub(super) async fn rebuild(
    writers: &Pool,
    readers: &Pool,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut session = Session::acquire(writers).await?;
    let limit = session.answer_limit();
    let backend = answered(limit, backend_pid(&mut session)).await?;
    let mut transaction = session.begin().await?;
    let folded = async {
        lock(&mut transaction, shard).await.map_err(store_error)?;
        clear(&mut transaction, shard).await?;
        fold_log(&mut transaction, shard, progress).await
    };
    while_server_answers(readers, backend, folded).await?;
    commit(limit, transaction).await?;
    session.finish();
    Ok(())
}

/// Locks the shard without a time limit.
async fn lock(connection: &mut PgConnection, shard: Shard) -> Result<(), sqlx::Error> {
    const LOCK: &str = "SELECT FROM shards WHERE shard = $1 FOR UPDATE";
    // The server checks whether the client is still connected, since it would otherwise finish for
    // one that was interrupted. (Not every server can.)
    const CHECK_CLIENT: &str = "
        SELECT set_config(name, '1s', true)
        FROM pg_settings
        WHERE name = 'client_connection_check_interval'";
    remove_time_limits(connection, SettingScope::Transaction).await?;
    sqlx::raw_sql(CHECK_CLIENT).execute(&mut *connection).await?;
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

/// Folds the whole log into empty tables, step by step, so that memory does not grow with the log.
/// A damaged log is an error.
pub(super) async fn fold_log(
    connection: &mut PgConnection,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut verifier = LogVerifier::new(log_reads::shard_state_on(connection, shard).await?);
    loop {
        let after = verifier.position();
        let records = log_reads::read_judged(&mut *connection, shard, after, REBUILD_STEP).await?;
        if records.is_empty() {
            return verifier.end().map_err(|damage| damage.of(shard));
        }
        verifier.accept(&records).map_err(|damage| damage.of(shard))?;
        let mut reads = ShardReads { connection: &mut *connection, shard };
        let changes = fold_records(&mut reads, shard, &records).await?;
        write(connection, shard, &changes).await.map_err(store_error)?;
        progress(verifier.position());
    }
}

async fn write(
    connection: &mut PgConnection,
    shard: Shard,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    const SHARD_ROW: &str = "SELECT shard FROM shards WHERE shard = $1";
    let mut writes = ShardWrites::begin(shard, SHARD_ROW, |_| Ok(()))?;
    tables::write_changes(&mut writes, changes)?;
    let (sql, arguments) = writes.end();
    sqlx::query_with(sql, arguments).execute(connection).await.map(drop)
}

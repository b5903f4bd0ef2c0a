//! The projections, folded from the log again.

use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::errors::{commit_failed, failed};
use super::write::ShardTables;
use super::writer::begin;
use super::{log_reads, number};
use crate::error::StoreError;
use crate::limits::REBUILD_STEP;
use crate::log::projection::{AffectedRows, Fold};
use crate::tables::{self, projections};

pub(super) async fn rebuild(
    connection: &mut SqliteConnection,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut transaction = begin(connection).await?;
    for table in projections() {
        if let Some(newest) = table.select_newest("?") {
            let newest = sqlx::query_scalar(AssertSqlSafe(newest)).bind(number(shard));
            table.check_newest(newest.fetch_one(&mut *transaction).await.map_err(failed)?)?;
        }
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {} WHERE shard = ?", table.name)))
            .bind(number(shard))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    fold_log(&mut transaction, shard, progress).await?;
    transaction.commit().await.map_err(commit_failed)
}

/// Folds the whole log into the tables of the projections, step by step, so that memory does
/// not grow with it.
pub(super) async fn fold_log(
    connection: &mut SqliteConnection,
    shard: Shard,
    progress: &(dyn Fn(Position) + Sync),
) -> Result<(), StoreError> {
    let mut after = Position::START;
    loop {
        let records = log_reads::read(&mut *connection, shard, after, REBUILD_STEP).await?;
        let Some(last) = records.last() else { return Ok(()) };
        after = last.position;
        let facts =
            records.iter().map(|record| (&record.organization_id, record.stream, &record.fact));
        let mut tables = ShardTables { connection: &mut *connection, shard };
        let loaded = tables::load(&mut tables, &AffectedRows::of(facts)).await?;
        let mut fold = Fold::new(loaded);
        records.iter().try_for_each(|record| fold.apply(record))?;
        tables::write_changes(&mut tables, &fold.into_changes()).await.map_err(failed)?;
        progress(after);
    }
}

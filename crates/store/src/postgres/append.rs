//! The append: one short transaction that begins with the shard's row.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md

use std::collections::HashMap;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard};
use sqlx::PgConnection;
use sqlx_macros::FromRow;

use super::contended_rows::ContendedRows;
use super::errors::{is_lock_timeout, store_error};
use super::load::{existing_streams, idempotency_keys};
use super::pool::Pool;
use super::session::{Session, answered, commit, lock_timeout, try_change};
use super::write::ShardTables;
use crate::error::StoreError;
use crate::log::operation::{AppendOutcome, Operation, newest_steady_time};
use crate::log::plan::{LockedShard, Plan, ReadSet, plan};
use crate::sql::rows::OperationRow;
use crate::store::AppendedBatch;
use crate::tables::{self, micros, read_all, time};

/// How long [`try_commit`] waits for the shard's row: longer than the batches before it take.
const TRY_LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// Appends a batch. Everything before the commit is undone if it fails or is dropped.
pub(super) async fn append(
    writers: &Pool,
    contended_rows: &ContendedRows,
    shard: Shard,
    operations: &[Operation],
) -> Result<AppendedBatch, StoreError> {
    if operations.is_empty() {
        return Ok(AppendedBatch { results: Vec::new(), records: Vec::new() });
    }
    let mut session = Session::acquire(writers).await?;
    let limit = session.answer_limit();
    let mut transaction = session.begin().await?;
    let planned = answered(limit, async {
        contended_rows.limit_wait(shard, &mut transaction).await?;
        plan_and_write(&mut transaction, shard, operations).await
    })
    .await;
    contended_rows.note(shard, &planned);
    let commits = planned.as_ref().is_ok_and(|plan| !plan.records.is_empty());
    if commits {
        commit(limit, transaction).await?;
    } else if planned.as_ref().map_or_else(is_lock_timeout, |_| true) {
        answered(limit, async { transaction.rollback().await.map_err(store_error) }).await?;
    } else {
        // After any other failure the session may be in any state.
        return planned.map(|_| AppendedBatch { results: Vec::new(), records: Vec::new() });
    }
    session.finish();
    let plan = planned?;
    Ok(AppendedBatch { results: plan.results, records: plan.records })
}

/// Writes the shard's row without a change.
pub(super) async fn try_commit(writers: &Pool, shard: Shard) -> Result<(), StoreError> {
    // MATERIALIZED sets the limit before the row is found and waited for.
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH lock_limit AS MATERIALIZED (SELECT set_config('lock_timeout', $2, true))
         UPDATE shards
         SET last_position = last_position
         FROM lock_limit
         WHERE shard = $1
         RETURNING last_position",
    )
    .bind(i32::from(shard.0))
    .bind(lock_timeout(TRY_LOCK_TIMEOUT));
    try_change(writers, query).await?;
    Ok(())
}

async fn plan_and_write<'a>(
    connection: &mut PgConnection,
    shard: Shard,
    operations: &'a [Operation],
) -> Result<Plan<'a>, StoreError> {
    let record_count = operations.iter().map(|operation| operation.records.len()).sum::<usize>();
    let steady_time = newest_steady_time(operations);
    let locked_row = lock(connection, shard, record_count as i64, steady_time).await?;
    let wanted = ReadSet::of(operations);
    let locked = LockedShard {
        last_position: Position(locked_row.last_position),
        checkpoint: Position(locked_row.checkpoint),
        epoch: Epoch(locked_row.epoch),
        loaded: tables::load(
            &mut ShardTables { connection: &mut *connection, shard },
            &wanted.affected,
        )
        .await?,
        keys: idempotency_keys(&mut *connection, shard, &wanted.keys).await?,
        requests: tables::load_requests(
            &mut ShardTables { connection: &mut *connection, shard },
            &wanted.requests,
        )
        .await?,
        used: existing_streams(&mut *connection, shard, &wanted.unused).await?,
        counts: tables::load_counts(
            &mut ShardTables { connection: &mut *connection, shard },
            &wanted.counts,
        )
        .await?,
    };
    let plan = plan(operations, locked, time(locked_row.now)?);
    let plan = plan.map_err(|damage| damage.of(shard))?;
    if !plan.records.is_empty() {
        write(connection, shard, &locked_row, &plan).await.map_err(store_error)?;
    }
    Ok(plan)
}

/// The shard's row as the batch found it, and the database's time.
#[derive(FromRow)]
struct LockedRow {
    last_position: i64,
    /// The last position if every record is appended.
    expected_position: i64,
    checkpoint: i64,
    epoch: i64,
    now: i64,
}

/// Waits for the batches before, takes `record_count` positions, and notes the steady clock's time.
///
/// The statements that follow see what the batches before have committed, because each takes its
/// snapshot after this one has locked the row. For the same reason this one reads nothing but the
/// row. It reads the clock after it has locked the row, so that times grow with positions.
async fn lock(
    connection: &mut PgConnection,
    shard: Shard,
    record_count: i64,
    steady_time: Option<Timestamp>,
) -> Result<LockedRow, StoreError> {
    // `greatest` ignores NULL.
    sqlx::query_as(
        "UPDATE shards
         SET last_position = last_position + $2,
             steady_time = greatest(steady_time, $3),
             steady_time_noted_at = CASE
                 WHEN $3 IS NULL THEN steady_time_noted_at
                 ELSE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
             END
         WHERE shard = $1
         RETURNING last_position - $2 AS last_position, last_position AS expected_position,
                   checkpoint, epoch,
                   (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now",
    )
    .bind(i32::from(shard.0))
    .bind(record_count)
    .bind(steady_time.map(micros))
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

async fn write(
    connection: &mut PgConnection,
    shard: Shard,
    locked_row: &LockedRow,
    plan: &Plan<'_>,
) -> Result<(), sqlx::Error> {
    let mut tables = ShardTables { connection: &mut *connection, shard };
    tables::write_plan(&mut tables, plan).await?;
    // Some records were refused, or the owner has acted on more.
    if plan.last_position.0 != locked_row.expected_position
        || plan.checkpoint.0 != locked_row.checkpoint
    {
        sqlx::query("UPDATE shards SET last_position = $2, checkpoint = $3 WHERE shard = $1")
            .bind(i32::from(shard.0))
            .bind(plan.last_position.0)
            .bind(plan.checkpoint.0)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Looks for operations after the current batch has ended: a commit whose answer was lost holds the
/// shard's row until it has ended.
pub(super) async fn find_operations(
    writers: &Pool,
    contended_rows: &ContendedRows,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
    let mut session = Session::acquire(writers).await?;
    let limit = session.answer_limit();
    let mut transaction = session.begin().await?;
    let rows = answered(limit, async {
        contended_rows.limit_wait(shard, &mut transaction).await?;
        lock_and_find(&mut transaction, shard, after, operations).await
    })
    .await;
    contended_rows.note(shard, &rows);
    if rows.as_ref().map_or_else(is_lock_timeout, |_| true) {
        answered(limit, async { transaction.rollback().await.map_err(store_error) }).await?;
        session.finish();
    }
    Ok(read_all(rows?)?.into_iter().collect())
}

async fn lock_and_find(
    connection: &mut PgConnection,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<Vec<OperationRow>, StoreError> {
    sqlx::query("SELECT FROM shards WHERE shard = $1 FOR UPDATE")
        .bind(i32::from(shard.0))
        .execute(&mut *connection)
        .await
        .map_err(store_error)?;
    let ids: Vec<_> = operations.iter().map(OperationId::to_string).collect();
    sqlx::query_as(
        "SELECT operation_id, min(position) AS first_position, max(position) AS last_position,
                min(recorded_at) AS recorded_at
         FROM records
         WHERE shard = $1 AND position > $2 AND operation_id = ANY ($3)
         GROUP BY operation_id",
    )
    .bind(i32::from(shard.0))
    .bind(after.0)
    .bind(ids)
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

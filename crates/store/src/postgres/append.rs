//! Appending: one short transaction that begins with the shard's row.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard};
use sqlx::PgConnection;
use sqlx_macros::FromRow;

use super::errors::{is_locked_out, store_error};
use super::load::used_keys;
use super::pool::Pool;
use super::session::{Session, answered, commit, lock_timeout, try_change};
use super::write::ShardTables;
use crate::error::StoreError;
use crate::log::operation::{AppendOutcome, Operation, newest_steady_time};
use crate::log::plan::{LockedShard, Plan, ReadSet, plan};
use crate::store::AppendedBatch;
use crate::tables::{self, micros, time};

/// How long is waited for a row that was held the last time for longer than a session waits.
const HELD_ROW_PATIENCE: Duration = Duration::from_millis(100);

/// How long a try waits for a row: longer than batches take that are in its way.
const TRY_PATIENCE: Duration = Duration::from_millis(500);

/// The shards whose row somebody held too long the last time: a process that stopped in the middle
/// of a transaction, or a person with a prompt. Whoever waits for it has one of a few connections,
/// which the other shards' batches need: so nobody waits long for such a row again.
pub(super) struct HeldRows(Vec<AtomicBool>);

impl HeldRows {
    /// None is held, as far as is known.
    pub(super) fn new(shard_count: u16) -> HeldRows {
        HeldRows((0..shard_count).map(|_| AtomicBool::new(false)).collect())
    }

    /// Has a transaction wait no longer than is due.
    async fn limit_wait(
        &self,
        shard: Shard,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        if !self.0[usize::from(shard.0)].load(Ordering::Relaxed) {
            return Ok(());
        }
        let query = sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(lock_timeout(HELD_ROW_PATIENCE));
        query.execute(connection).await.map(drop).map_err(store_error)
    }

    fn note<T>(&self, shard: Shard, outcome: &Result<T, StoreError>) {
        let held = match outcome {
            Ok(_) => false,
            Err(error) if is_locked_out(error) => true,
            Err(_) => return,
        };
        self.0[usize::from(shard.0)].store(held, Ordering::Relaxed);
    }
}

/// Appends a batch. Everything before the commit is undone if it fails or is dropped.
pub(super) async fn append(
    writers: &Pool,
    held_rows: &HeldRows,
    shard: Shard,
    operations: &[Operation],
) -> Result<AppendedBatch, StoreError> {
    if operations.is_empty() {
        return Ok(AppendedBatch { results: Vec::new(), records: Vec::new() });
    }
    let mut session = Session::of(writers).await?;
    let limit = session.answer_limit();
    let mut transaction = session.begin().await?;
    let planned = answered(limit, async {
        held_rows.limit_wait(shard, &mut transaction).await?;
        plan_and_write(&mut transaction, shard, operations).await
    })
    .await;
    held_rows.note(shard, &planned);
    let commits = planned.as_ref().is_ok_and(|plan| !plan.records.is_empty());
    if commits {
        commit(limit, transaction).await?;
    } else if planned.as_ref().map_or_else(is_locked_out, |_| true) {
        answered(limit, async { transaction.rollback().await.map_err(store_error) }).await?;
    } else {
        // What has failed otherwise may have left the session in any state.
        return planned.map(|_| AppendedBatch { results: Vec::new(), records: Vec::new() });
    }
    session.finish();
    let plan = planned?;
    Ok(AppendedBatch { results: plan.results, records: plan.records })
}

/// Writes the shard's row as it stands. Whoever holds the row is not waited for.
pub(super) async fn try_commit(writers: &Pool, shard: Shard) -> Result<(), StoreError> {
    // The limit is set before the row is found, and the row is waited for after that.
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $2, true))
         UPDATE shards
         SET last_position = last_position
         FROM patience
         WHERE shard = $1
         RETURNING last_position",
    )
    .bind(i32::from(shard.0))
    .bind(lock_timeout(TRY_PATIENCE));
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
    let turn = lock(connection, shard, record_count as i64, steady_time).await?;
    let wanted = ReadSet::of(operations);
    let locked = LockedShard {
        last_position: Position(turn.last_position),
        checkpoint: Position(turn.checkpoint),
        epoch: Epoch(turn.epoch),
        loaded: tables::load(
            &mut ShardTables { connection: &mut *connection, shard },
            &wanted.affected,
        )
        .await?,
        keys: used_keys(connection, shard, &wanted.keys).await?,
    };
    let plan = plan(operations, locked, time(turn.now)?)?;
    if !plan.records.is_empty() {
        write(connection, shard, &turn, &plan).await.map_err(store_error)?;
    }
    Ok(plan)
}

/// A batch's turn on its shard: how it found the shard, and what time it is.
#[derive(FromRow)]
struct Turn {
    last_position: i64,
    /// The last position if every record is appended.
    bumped_position: i64,
    checkpoint: i64,
    epoch: i64,
    now: i64,
}

/// Waits for the batches before, takes `record_count` positions, and takes the steady clock's time
/// down.
///
/// The statements that follow see what the batches before have committed, because each takes
/// its snapshot after this one has got the lock. For the same reason nothing is read here but
/// the row itself, and the clock is read when the row is had: times grow with positions.
async fn lock(
    connection: &mut PgConnection,
    shard: Shard,
    record_count: i64,
    steady_time: Option<Timestamp>,
) -> Result<Turn, StoreError> {
    // `greatest` passes over NULL.
    sqlx::query_as(
        "UPDATE shards
         SET last_position = last_position + $2,
             steady_time = greatest(steady_time, $3),
             steady_time_noted_at = CASE
                 WHEN $3 IS NULL THEN steady_time_noted_at
                 ELSE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
             END
         WHERE shard = $1
         RETURNING last_position - $2 AS last_position, last_position AS bumped_position,
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
    turn: &Turn,
    plan: &Plan<'_>,
) -> Result<(), sqlx::Error> {
    let mut tables = ShardTables { connection: &mut *connection, shard };
    tables::write_plan(&mut tables, plan).await?;
    // Fewer records than positions were taken, or the owner has acted on more.
    if plan.last_position.0 != turn.bumped_position || plan.checkpoint.0 != turn.checkpoint {
        sqlx::query("UPDATE shards SET last_position = $2, checkpoint = $3 WHERE shard = $1")
            .bind(i32::from(shard.0))
            .bind(plan.last_position.0)
            .bind(plan.checkpoint.0)
            .execute(connection)
            .await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct FoundRow {
    operation_id: String,
    first_position: i64,
    last_position: i64,
    recorded_at: i64,
}

/// Looks for operations, once no batch is under way: a commit that was sent, but whose answer
/// was lost, holds the shard's row until it has ended.
pub(super) async fn find_operations(
    writers: &Pool,
    held_rows: &HeldRows,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<HashMap<OperationId, AppendOutcome>, StoreError> {
    let mut session = Session::of(writers).await?;
    let limit = session.answer_limit();
    let mut transaction = session.begin().await?;
    let rows = answered(limit, async {
        held_rows.limit_wait(shard, &mut transaction).await?;
        find_when_unlocked(&mut transaction, shard, after, operations).await
    })
    .await;
    held_rows.note(shard, &rows);
    if rows.as_ref().map_or_else(is_locked_out, |_| true) {
        answered(limit, async { transaction.rollback().await.map_err(store_error) }).await?;
        session.finish();
    }
    rows?.into_iter().map(found).collect()
}

async fn find_when_unlocked(
    connection: &mut PgConnection,
    shard: Shard,
    after: Position,
    operations: &[OperationId],
) -> Result<Vec<FoundRow>, StoreError> {
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

fn found(row: FoundRow) -> Result<(OperationId, AppendOutcome), StoreError> {
    let unreadable = |_| StoreError::Unreadable(format!("operation {}", row.operation_id));
    let appended = AppendOutcome::Appended {
        first: Position(row.first_position),
        last: Position(row.last_position),
        recorded_at: time(row.recorded_at)?,
    };
    Ok((row.operation_id.parse().map_err(unreadable)?, appended))
}

//! The append: one short transaction.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard};
use sqlx::SqliteConnection;

use super::errors::{commit_error, store_error};
use super::load;
use super::write::ShardTables;
use super::writer::{begin, begin_uncounted};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::log::operation::{Operation, newest_steady_time};
use crate::log::plan::{LockedShard, ReadSet, plan};
use crate::store::AppendedBatch;
use crate::tables::{self, micros};

pub(super) async fn append(
    connection: &mut SqliteConnection,
    clock: &Clock,
    shard: Shard,
    operations: &[Operation],
) -> Result<AppendedBatch, StoreError> {
    let mut transaction = begin_uncounted(connection).await?;
    let positions = operations.iter().map(|operation| operation.records.len() as i64).sum();
    let now = (clock)();
    let steady_time = newest_steady_time(operations);
    let mut locked = lock(&mut transaction, shard, positions, steady_time, now).await?;
    let expected_position = Position(locked.last_position.0 + positions);
    let expected_checkpoint = locked.checkpoint;
    let wanted = ReadSet::of(operations);
    locked.loaded =
        tables::load(&mut ShardTables { connection: &mut transaction, shard }, &wanted.affected)
            .await?;
    locked.keys = load::idempotency_keys(&mut transaction, shard, &wanted.keys).await?;
    locked.requests = tables::load_requests(
        &mut ShardTables { connection: &mut transaction, shard },
        &wanted.requests,
    )
    .await?;
    locked.used = load::existing_streams(&mut transaction, shard, &wanted.unused).await?;
    locked.counts = tables::load_counts(
        &mut ShardTables { connection: &mut transaction, shard },
        &wanted.counts,
    )
    .await?;

    let plan = plan(operations, locked, now).map_err(|damage| damage.of(shard))?;
    if plan.records.is_empty() {
        transaction.rollback().await.map_err(store_error)?;
        return Ok(AppendedBatch { results: plan.results, records: plan.records });
    }
    let mut tables = ShardTables { connection: &mut transaction, shard };
    tables::write_plan(&mut tables, &plan).await.map_err(store_error)?;
    if (plan.last_position, plan.checkpoint) != (expected_position, expected_checkpoint) {
        correct(&mut transaction, shard, plan.last_position, plan.checkpoint).await?;
    }
    transaction.commit().await.map_err(commit_error)?;
    Ok(AppendedBatch { results: plan.results, records: plan.records })
}

/// Commits a transaction that only counts itself, which takes a page of the write-ahead log.
pub(super) async fn try_commit(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let transaction = begin(connection).await?;
    transaction.commit().await.map_err(commit_error)
}

/// Takes as many positions as the batch has records, and notes the steady clock's time. Answers
/// with the shard's state before.
async fn lock(
    connection: &mut SqliteConnection,
    shard: Shard,
    positions: i64,
    steady_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<LockedShard, StoreError> {
    let locked: (i64, i64, i64) = sqlx::query_as(
        "UPDATE shards
         SET last_position = last_position + ?1,
             commits = commits + 1,
             steady_time = max(coalesce(steady_time, ?2), coalesce(?2, steady_time)),
             steady_time_noted_at = iif(?2 IS NULL, steady_time_noted_at, ?3)
         WHERE shard = ?4
         RETURNING last_position, checkpoint, epoch",
    )
    .bind(positions)
    .bind(steady_time.map(micros))
    .bind(micros(now))
    .bind(i64::from(shard.0))
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    let (last_position, checkpoint, epoch) = locked;
    Ok(LockedShard {
        last_position: Position(last_position - positions),
        checkpoint: Position(checkpoint),
        epoch: Epoch(epoch),
        ..LockedShard::default()
    })
}

/// Gives back the positions of refused records, and moves the checkpoint.
async fn correct(
    connection: &mut SqliteConnection,
    shard: Shard,
    last_position: Position,
    checkpoint: Position,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE shards SET last_position = ?, checkpoint = ? WHERE shard = ?")
        .bind(last_position.0)
        .bind(checkpoint.0)
        .bind(i64::from(shard.0))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

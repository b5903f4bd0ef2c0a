//! The append: one short transaction.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard};
use sqlx::SqliteConnection;

use super::errors::{commit_error, store_error};
use super::load;
use super::write::{ShardReads, ShardWrites};
use super::writer::{begin, begin_uncounted};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::log::known_shard::KnownShard;
use crate::log::operation::{Operation, newest_steady_time};
use crate::log::plan::{LockedShard, ReadSet, plan};
use crate::store::AppendedBatch;
use crate::tables::{self, micros};

/// Appends a batch. `known` is what the appends before have left; after a failure, nothing is known.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    known: &mut KnownShard,
    clock: &Clock,
    shard: Shard,
    operations: &[Operation],
) -> Result<AppendedBatch, StoreError> {
    let mut before = std::mem::take(known);
    let mut transaction = begin_uncounted(connection).await?;
    let positions = operations.iter().map(|operation| operation.records.len() as i64).sum();
    let now = (clock)();
    let steady_time = newest_steady_time(operations);
    let state = lock(&mut transaction, shard, positions, steady_time, now).await?;
    if before.is_behind(&state) {
        // A rebuild, or nothing has been appended since the start.
        before = KnownShard::default();
    }
    let epoch = state.epoch;
    let expected_position = Position(state.last_position.0 + positions);
    let expected_checkpoint = state.checkpoint;
    let locked = read(&mut transaction, shard, operations, &mut before, state).await?;

    let plan = plan(operations, locked, now).map_err(|damage| damage.of(shard))?;
    if plan.records.is_empty() {
        transaction.rollback().await.map_err(store_error)?;
    } else {
        let mut writes = ShardWrites::begin(shard);
        tables::write_plan(&mut writes, &plan).map_err(store_error)?;
        writes.run(&mut transaction).await.map_err(store_error)?;
        if (plan.last_position, plan.checkpoint) != (expected_position, expected_checkpoint) {
            correct(&mut transaction, shard, plan.last_position, plan.checkpoint).await?;
        }
        transaction.commit().await.map_err(commit_error)?;
    }
    *known = before;
    Ok(known.note(plan, epoch))
}

/// Reads what is not known.
async fn read(
    connection: &mut SqliteConnection,
    shard: Shard,
    operations: &[Operation],
    known: &mut KnownShard,
    state: LockedShard,
) -> Result<LockedShard, StoreError> {
    let mut wanted = ReadSet::of(operations);
    let known_deliveries = known.take_rows(&mut wanted.affected);
    let keys = load::idempotency_keys(&mut *connection, shard, &wanted.keys).await?;
    let used = load::existing_streams(&mut *connection, shard, &wanted.unused).await?;
    let mut tables = ShardReads { connection, shard };
    let mut loaded = tables::load(&mut tables, &wanted.affected).await?;
    loaded.deliveries.extend(known_deliveries);
    let requests = tables::load_requests(&mut tables, &wanted.requests).await?;
    let counts = tables::load_counts(&mut tables, &wanted.counts).await?;
    Ok(LockedShard { loaded, keys, requests, used, counts, ..state })
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

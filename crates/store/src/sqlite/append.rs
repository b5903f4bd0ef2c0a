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
use crate::log::plan::{LockedShard, Plan, ReadSet, plan};
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
    let state = shard_row(&mut transaction, shard).await?;
    if before.is_behind(&state) {
        // Nothing has been appended since the start.
        before = KnownShard::default();
    }
    let epoch = state.epoch;
    let locked = read(&mut transaction, shard, operations, &mut before, state).await?;

    let now = (clock)();
    let plan = plan(operations, locked, now).map_err(|damage| damage.of(shard))?;
    if plan.records.is_empty() {
        transaction.rollback().await.map_err(store_error)?;
    } else {
        let steady_time = newest_steady_time(operations);
        write_shard_row(&mut transaction, shard, &plan, steady_time, now).await?;
        let mut writes = ShardWrites::begin(shard);
        tables::write_plan(&mut writes, &plan).map_err(store_error)?;
        writes.run(&mut transaction).await.map_err(store_error)?;
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

/// The shard as the batch finds it.
async fn shard_row(
    connection: &mut SqliteConnection,
    shard: Shard,
) -> Result<LockedShard, StoreError> {
    let row: (i64, i64, i64) =
        sqlx::query_as("SELECT last_position, checkpoint, epoch FROM shards WHERE shard = ?")
            .bind(i64::from(shard.0))
            .fetch_one(connection)
            .await
            .map_err(store_error)?;
    let (last_position, checkpoint, epoch) = row;
    Ok(LockedShard {
        last_position: Position(last_position),
        checkpoint: Position(checkpoint),
        epoch: Epoch(epoch),
        ..LockedShard::default()
    })
}

/// Writes the shard as the batch leaves it, and notes the steady clock's time.
async fn write_shard_row(
    connection: &mut SqliteConnection,
    shard: Shard,
    plan: &Plan<'_>,
    steady_time: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE shards
         SET last_position = ?1,
             checkpoint = ?2,
             commits = commits + 1,
             steady_time = max(coalesce(steady_time, ?3), coalesce(?3, steady_time)),
             steady_time_noted_at = iif(?3 IS NULL, steady_time_noted_at, ?4)
         WHERE shard = ?5",
    )
    .bind(plan.last_position.0)
    .bind(plan.checkpoint.0)
    .bind(steady_time.map(micros))
    .bind(micros(now))
    .bind(i64::from(shard.0))
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

//! The append: one statement, if nobody else has appended to the shard since, or else a short
//! transaction that begins with the shard's row.
//!
//! Decision: docs/decisions/the-shards-row-orders-appends.md
//! Decision: docs/decisions/an-append-begins-with-what-is-known.md

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};
use sqlx_macros::FromRow;
use tokio::sync::Mutex;

use super::contended_rows::ContendedRows;
use super::errors::{is_lock_timeout, store_error};
use super::load::{existing_streams, idempotency_keys};
use super::pool::Pool;
use super::session::{Session, answered, commit, committed, lock_timeout, try_change};
use super::write::{ShardReads, ShardWrites};
use crate::error::StoreError;
use crate::log::known_shard::KnownShard;
use crate::log::operation::{AppendOutcome, Operation, newest_steady_time};
use crate::log::plan::{LockedShard, Plan, ReadSet, plan};
use crate::sql::rows::OperationRow;
use crate::store::AppendedBatch;
use crate::tables::{self, micros, read_all, time};

/// How long [`try_commit`] waits for the shard's row: longer than the batches before it take.
const TRY_LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// What appends remember of each shard.
pub(super) struct RememberedShards(Vec<Mutex<Option<RememberedShard>>>);

/// A shard after the last append of this process.
struct RememberedShard {
    known: KnownShard,
    clock: ClockReading,
    /// Somebody else had appended before.
    is_shared: bool,
}

/// When the database's clock was read last.
struct ClockReading {
    micros: i64,
    read_at: Instant,
}

/// For how long a shard is remembered. Meanwhile its clock is known, and the connection has hardly been
/// lost: if the answer to a statement that commits itself is lost, it has to be looked up.
const MEMORY: Duration = Duration::from_secs(1);

impl ClockReading {
    fn now(micros: i64) -> ClockReading {
        ClockReading { micros, read_at: Instant::now() }
    }

    /// The clock's time by now. It is behind, because an answer takes time, but never ahead, unless
    /// the clock was set back.
    fn elapsed(&self) -> i64 {
        let elapsed = i64::try_from(self.read_at.elapsed().as_micros());
        self.micros.saturating_add(elapsed.unwrap_or(i64::MAX))
    }
}

impl RememberedShard {
    /// Whether the shard is probably still as it was.
    fn is_reliable(&self) -> bool {
        !self.is_shared && self.clock.read_at.elapsed() < MEMORY
    }
}

impl RememberedShards {
    pub(super) fn new(shard_count: u16) -> RememberedShards {
        RememberedShards((0..shard_count).map(|_| Mutex::new(None)).collect())
    }

    /// Changes what the shards' clocks are believed to say.
    #[cfg(test)]
    pub(super) async fn shift_clocks(&self, micros: i64) {
        for shard in &self.0 {
            if let Some(remembered) = &mut *shard.lock().await {
                remembered.clock.micros += micros;
            }
        }
    }

    #[cfg(test)]
    pub(super) async fn forget(&self) {
        for shard in &self.0 {
            shard.lock().await.take();
        }
    }
}

/// Appends a batch. Everything before the commit is undone if it fails or is dropped.
pub(super) async fn append(
    writers: &Pool,
    contended_rows: &ContendedRows,
    RememberedShards(remembered): &RememberedShards,
    shard: Shard,
    operations: &[Operation],
) -> Result<AppendedBatch, StoreError> {
    if operations.is_empty() {
        return Ok(AppendedBatch::default());
    }
    let mut remembered = remembered[usize::from(shard.0)].lock().await;
    // Unless the append succeeds, nothing is known any more.
    let mut before = remembered.take();
    let mut session = Session::acquire(writers).await?;
    let limit = session.answer_limit();
    if let Some(known) = before.as_mut().filter(|before| before.is_reliable())
        && !contended_rows.is_contended(shard)
    {
        let appended = append_to_known(&mut session, limit, shard, operations, known).await;
        contended_rows.note(shard, &appended);
        match appended {
            Ok(None) => {}
            Ok(Some(batch)) => {
                session.finish();
                *remembered = before;
                return Ok(batch);
            }
            Err(error) => {
                // After any other failure the session may be in any state.
                if is_lock_timeout(&error) {
                    session.finish();
                }
                return Err(error);
            }
        }
    }
    let (batch, after) = append_locked(session, contended_rows, shard, operations, before).await?;
    *remembered = Some(after);
    Ok(batch)
}

/// Appends with one statement, provided that nobody else has changed the shard since. None: somebody
/// has, or there is nothing to write, which has to be decided while the shard is locked.
///
/// Rows are read without a lock: as they are at the known position, or later. At the end the
/// statement finds the shard at the known position, so they were read as they are there.
async fn append_to_known(
    connection: &mut PgConnection,
    limit: Duration,
    shard: Shard,
    operations: &[Operation],
    RememberedShard { known, clock, .. }: &mut RememberedShard,
) -> Result<Option<AppendedBatch>, StoreError> {
    let now = clock.elapsed();
    let state = known.state();
    let epoch = state.epoch;
    let read = read(connection, shard, operations, known, state);
    let locked = answered(limit, read).await?;
    let expected = ExpectedRow::of(&locked, now, now.saturating_add(MEMORY.as_micros() as i64));
    let plan = plan(operations, locked, time(now)?).map_err(|damage| damage.of(shard))?;
    if plan.records.is_empty() {
        return Ok(None);
    }
    let (sql, arguments) =
        write_statement(shard, &expected, operations, &plan).map_err(store_error)?;
    let written = sqlx::query_scalar_with(sql, arguments).fetch_optional(connection);
    let Some(micros) = committed(limit, written).await? else { return Ok(None) };
    *clock = ClockReading::now(micros);
    Ok(Some(known.note(plan, epoch)))
}

/// Appends in a transaction that first locks the shard.
async fn append_locked(
    mut session: Session,
    contended_rows: &ContendedRows,
    shard: Shard,
    operations: &[Operation],
    before: Option<RememberedShard>,
) -> Result<(AppendedBatch, RememberedShard), StoreError> {
    let limit = session.answer_limit();
    let mut transaction = session.begin().await?;
    let planned = answered(limit, async {
        contended_rows.limit_wait(shard, &mut transaction).await?;
        plan_and_write(&mut transaction, shard, operations, before).await
    })
    .await;
    contended_rows.note(shard, &planned);
    let commits = planned.as_ref().is_ok_and(|(batch, _)| !batch.records.is_empty());
    if commits {
        commit(limit, transaction).await?;
    } else if planned.as_ref().map_or_else(is_lock_timeout, |_| true) {
        answered(limit, async { transaction.rollback().await.map_err(store_error) }).await?;
    } else {
        // After any other failure the session may be in any state.
        return planned;
    }
    session.finish();
    planned
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

async fn plan_and_write(
    connection: &mut PgConnection,
    shard: Shard,
    operations: &[Operation],
    before: Option<RememberedShard>,
) -> Result<(AppendedBatch, RememberedShard), StoreError> {
    let row = lock(connection, shard).await?;
    let state = LockedShard {
        last_position: Position(row.last_position),
        checkpoint: Position(row.checkpoint),
        epoch: Epoch(row.epoch),
        ..LockedShard::default()
    };
    let is_shared = before.as_ref().is_some_and(|before| before.known.is_behind(&state));
    let known = before.filter(|_| !is_shared).map(|before| before.known);
    let (mut known, epoch) = (known.unwrap_or_default(), state.epoch);
    let locked = read(connection, shard, operations, &mut known, state).await?;
    let expected = ExpectedRow::of(&locked, i64::MIN, i64::MAX);
    let plan = plan(operations, locked, time(row.now)?).map_err(|damage| damage.of(shard))?;
    let mut clock = ClockReading::now(row.now);
    if !plan.records.is_empty() {
        let (sql, arguments) =
            write_statement(shard, &expected, operations, &plan).map_err(store_error)?;
        let written = sqlx::query_scalar_with(sql, arguments).fetch_one(connection).await;
        clock = ClockReading::now(written.map_err(store_error)?);
    }
    Ok((known.note(plan, epoch), RememberedShard { known, clock, is_shared }))
}

/// Reads what is not known.
async fn read(
    connection: &mut PgConnection,
    shard: Shard,
    operations: &[Operation],
    known: &mut KnownShard,
    state: LockedShard,
) -> Result<LockedShard, StoreError> {
    let mut wanted = ReadSet::of(operations);
    let known_deliveries = known.take_rows(&mut wanted.affected);
    let keys = idempotency_keys(&mut *connection, shard, &wanted.keys).await?;
    let used = existing_streams(&mut *connection, shard, &wanted.unused).await?;
    let mut tables = ShardReads { connection, shard };
    let mut loaded = tables::load(&mut tables, &wanted.affected).await?;
    loaded.deliveries.extend(known_deliveries);
    let requests = tables::load_requests(&mut tables, &wanted.requests).await?;
    let counts = tables::load_counts(&mut tables, &wanted.counts).await?;
    Ok(LockedShard { loaded, keys, requests, used, counts, ..state })
}

/// The shard's row as the batch found it, and the database's time.
#[derive(FromRow)]
struct LockedRow {
    last_position: i64,
    checkpoint: i64,
    epoch: i64,
    now: i64,
}

/// The database's clock, in microseconds. Unlike `now()` it goes on in a transaction.
const CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Waits for the batches before.
///
/// The statements that follow see what the batches before have committed, because each takes its
/// snapshot after this one has locked the row. For the same reason this one reads nothing but the
/// row. It reads the clock after it has locked the row, so that times grow with positions.
async fn lock(connection: &mut PgConnection, shard: Shard) -> Result<LockedRow, StoreError> {
    static LOCK: LazyLock<String> = LazyLock::new(|| {
        format!(
            "UPDATE shards SET last_position = last_position WHERE shard = $1
             RETURNING last_position, checkpoint, epoch, {CLOCK} AS now"
        )
    });
    let locked = sqlx::query_as(AssertSqlSafe(LOCK.as_str())).bind(i32::from(shard.0));
    locked.fetch_one(connection).await.map_err(store_error)
}

/// What a batch was planned for: the row of the shard, and between which times of the database's
/// clock.
struct ExpectedRow {
    last_position: i64,
    checkpoint: i64,
    epoch: i64,
    earliest: i64,
    latest: i64,
}

impl ExpectedRow {
    fn of(shard: &LockedShard, earliest: i64, latest: i64) -> ExpectedRow {
        let LockedShard { last_position, checkpoint, epoch, .. } = shard;
        ExpectedRow {
            last_position: last_position.0,
            checkpoint: checkpoint.0,
            epoch: epoch.0,
            earliest,
            latest,
        }
    }
}

/// The statement that writes a batch, and notes the steady clock's time, if the shard is as it was
/// planned for. It answers with the database's clock, or with no row.
fn write_statement(
    shard: Shard,
    expected: &ExpectedRow,
    operations: &[Operation],
    plan: &Plan<'_>,
) -> Result<(AssertSqlSafe<String>, PgArguments), sqlx::Error> {
    // `greatest` ignores NULL.
    static SHARD_ROW: LazyLock<String> = LazyLock::new(|| {
        format!(
            "UPDATE shards
             SET last_position = $2, checkpoint = $3, steady_time = greatest(steady_time, $4),
                 steady_time_noted_at = CASE WHEN $4 IS NULL THEN steady_time_noted_at ELSE {CLOCK} END
             WHERE shard = $1 AND last_position = $5 AND checkpoint = $6 AND epoch = $7
               AND {CLOCK} BETWEEN $8 AND $9
             RETURNING {CLOCK} AS now"
        )
    });
    let mut writes = ShardWrites::begin(shard, &SHARD_ROW, |arguments| {
        arguments.add(plan.last_position.0)?;
        arguments.add(plan.checkpoint.0)?;
        arguments.add(newest_steady_time(operations).map(micros))?;
        arguments.add(expected.last_position)?;
        arguments.add(expected.checkpoint)?;
        arguments.add(expected.epoch)?;
        arguments.add(expected.earliest)?;
        arguments.add(expected.latest)
    })?;
    tables::write_plan(&mut writes, plan)?;
    Ok(writes.end())
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

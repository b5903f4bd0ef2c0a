//! Rows of statements that do not select from one table.

use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::Position;
use sqlx_macros::FromRow;

use crate::error::StoreError;
use crate::log::damage::LogDamage;
use crate::log::integrity::ShardRow;
use crate::log::operation::AppendOutcome;
use crate::store::{AttemptSum, ShardState};
use crate::tables::{ReadableRow, number, parse, time, word};

type Unreadable<T> = Result<T, StoreError>;

/// A shard's row, with the greatest position of its records, and the database's time.
#[derive(FromRow)]
pub(crate) struct ShardStateRow {
    last_position: i64,
    checkpoint: i64,
    epoch: i64,
    steady_time: Option<i64>,
    steady_time_noted_at: Option<i64>,
    last_record: Option<i64>,
    /// In microseconds since 1970.
    now: i64,
}

impl ShardStateRow {
    pub(crate) fn judge(row: Option<ShardStateRow>) -> Result<ShardState, LogDamage> {
        let row = row.ok_or(LogDamage::NoShardRow)?;
        let numbers = ShardRow {
            last_position: row.last_position,
            checkpoint: row.checkpoint,
            epoch: row.epoch,
            steady_time: row.steady_time,
            steady_time_noted_at: row.steady_time_noted_at,
            last_record: row.last_record,
        };
        numbers.judge(row.now)
    }
}

#[derive(FromRow)]
pub(crate) struct SumRow {
    pub(crate) endpoint_id: String,
    pub(crate) outcome: String,
    pub(crate) duration_bucket: i32,
    pub(crate) count: i64,
}

impl ReadableRow for SumRow {
    type Value = AttemptSum;

    fn value(self) -> Unreadable<AttemptSum> {
        Ok(AttemptSum {
            endpoint_id: parse("endpoint", &self.endpoint_id)?,
            outcome: word(&self.outcome)?,
            duration_bucket: number("duration bucket", self.duration_bucket)?,
            count: number("count", self.count)?,
        })
    }
}

/// An operation that was found in the log.
#[derive(FromRow)]
pub(crate) struct OperationRow {
    operation_id: String,
    first_position: i64,
    last_position: i64,
    recorded_at: i64,
}

impl ReadableRow for OperationRow {
    type Value = (OperationId, AppendOutcome);

    fn value(self) -> Unreadable<(OperationId, AppendOutcome)> {
        let appended = AppendOutcome::Appended {
            first: Position(self.first_position),
            last: Position(self.last_position),
            recorded_at: time(self.recorded_at)?,
        };
        Ok((parse("operation", &self.operation_id)?, appended))
    }
}

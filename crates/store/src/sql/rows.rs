//! Rows of statements that do not select from one table.

use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OperationId;
use keeptrusts_webhooks_domain::log::{Epoch, Position};
use sqlx_macros::FromRow;

use crate::error::StoreError;
use crate::log::operation::AppendOutcome;
use crate::store::{AttemptSum, ShardState, SteadyTime};
use crate::tables::{ReadableRow, number, parse, time, word};

type Unreadable<T> = Result<T, StoreError>;

#[derive(FromRow)]
pub(crate) struct ShardStateRow {
    pub(crate) last_position: i64,
    pub(crate) checkpoint: i64,
    pub(crate) epoch: i64,
    pub(crate) steady_time: Option<i64>,
    /// By the database's clock, in microseconds.
    pub(crate) steady_time_age: Option<i64>,
}

impl ReadableRow for ShardStateRow {
    type Value = ShardState;

    fn value(self) -> Unreadable<ShardState> {
        let age = u64::try_from(self.steady_time_age.unwrap_or(0)).unwrap_or(0);
        let steady = self.steady_time.map(time).transpose()?;
        Ok(ShardState {
            last_position: Position(self.last_position),
            checkpoint: Position(self.checkpoint),
            epoch: Epoch(self.epoch),
            steady: steady.map(|time| SteadyTime { time, age: Duration::from_micros(age) }),
        })
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

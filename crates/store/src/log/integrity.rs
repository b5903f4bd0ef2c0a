//! Judges what the database says of a shard before anything is done with it: the shard's row, and
//! the records in their order. Pure.
//!
//! Decision: docs/decisions/a-damaged-shard-is-named.md

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::log::{Epoch, Position};

use crate::log::damage::{LogDamage, judge_numbers};
use crate::log::operation::Record;
use crate::store::{ShardState, SteadyTime};

/// 9000-01-01, in microseconds since 1970. Waits are added to the steady clock, and times end with
/// the year 9999.
const MAX_STEADY_MICROS: i64 = 221_845_392_000_000_000;

/// A shard's row of `shards`, and what it must agree with, as they were read in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShardRow {
    pub(crate) last_position: i64,
    pub(crate) checkpoint: i64,
    pub(crate) epoch: i64,
    /// In microseconds since 1970, as is the next.
    pub(crate) steady_time: Option<i64>,
    pub(crate) steady_time_noted_at: Option<i64>,
    /// The greatest position of the shard's records.
    pub(crate) last_record: Option<i64>,
}

impl ShardRow {
    /// The shard's state. `now` is the database's time, in microseconds since 1970.
    pub(crate) fn judge(&self, now: i64) -> Result<ShardState, LogDamage> {
        let last_position = Position(self.last_position);
        let (checkpoint, epoch) = (Position(self.checkpoint), Epoch(self.epoch));
        judge_numbers(last_position, checkpoint, epoch)?;
        let last_record = Position(self.last_record.unwrap_or(Position::START.0));
        if last_record != last_position {
            return Err(LogDamage::OtherEnd { last_position, last_record });
        }
        let steady = match (self.steady_time, self.steady_time_noted_at) {
            (None, _) => None,
            (Some(time), noted_at) => Some(judge_steady_time(time, noted_at, now)?),
        };
        Ok(ShardState { last_position, checkpoint, epoch, steady })
    }
}

fn judge_steady_time(
    micros: i64,
    noted_at: Option<i64>,
    now: i64,
) -> Result<SteadyTime, LogDamage> {
    let impossible = |column, value| LogDamage::ImpossibleNumber { column, value };
    let time = Timestamp::from_microsecond(micros)
        .ok()
        .filter(|_| (0..MAX_STEADY_MICROS).contains(&micros))
        .ok_or(impossible("steady_time", micros))?;
    let noted_at = noted_at.unwrap_or(now);
    if noted_at < 0 {
        return Err(impossible("steady_time_noted_at", noted_at));
    }
    let age = u64::try_from(now.saturating_sub(noted_at)).unwrap_or(0);
    Ok(SteadyTime { time, age: Duration::from_micros(age) })
}

/// Judges whether records are the next ones after a position.
pub(crate) fn judge_positions(after: Position, records: &[Record]) -> Result<(), LogDamage> {
    let mut position = after;
    for record in records {
        position = position.next();
        if record.position != position {
            return Err(LogDamage::MissingRecord { position });
        }
    }
    Ok(())
}

/// Judges a shard's whole log while it is folded: the shard's state, then all records, then the end.
/// Versions and organizations are judged by the fold, which has the entities.
pub(crate) struct LogVerifier {
    state: ShardState,
    last: Position,
}

impl LogVerifier {
    pub(crate) fn new(state: ShardState) -> LogVerifier {
        LogVerifier { state, last: Position::START }
    }

    /// The position of the last record so far.
    pub(crate) fn position(&self) -> Position {
        self.last
    }

    /// Judges the next records.
    pub(crate) fn accept(&mut self, records: &[Record]) -> Result<(), LogDamage> {
        judge_positions(self.last, records)?;
        // The row has microseconds.
        let micros = |time: Timestamp| time.as_microsecond();
        let noted = self.state.steady.map(|steady| micros(steady.time));
        let is_later = |record: &&Record| record.metadata.steady_time.map(micros) > noted;
        if let Some(record) = records.iter().find(is_later) {
            return Err(LogDamage::SteadyTimeBehind { position: record.position });
        }
        self.last = records.last().map_or(self.last, |record| record.position);
        Ok(())
    }

    /// There are no more records.
    pub(crate) fn end(self) -> Result<(), LogDamage> {
        let (last_position, last_record) = (self.state.last_position, self.last);
        match last_record == last_position {
            true => Ok(()),
            false => Err(LogDamage::OtherEnd { last_position, last_record }),
        }
    }
}

#[cfg(test)]
#[path = "integrity_tests.rs"]
mod tests;

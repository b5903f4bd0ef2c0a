//! What cannot be true of a shard, and the numbers that each append judges.
//!
//! Decision: docs/decisions/a-damaged-shard-is-named.md

use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream, Version};

/// No shard has had so many records or owners: a million a second for 36,000 years. Far enough from
/// the end of 64 bits that no statement overflows.
const MAX_NUMBER: i64 = 1 << 60;

/// What cannot be true of a shard. Never happens unless somebody has changed the database, or parts
/// of it are lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogDamage {
    #[error("the table shards has no row of it")]
    NoShardRow,
    #[error("{column} is {value} in its row of shards, which cannot be")]
    ImpossibleNumber { column: &'static str, value: i64 },
    #[error(
        "checkpoint is {checkpoint} in its row of shards, but last_position is {last_position}"
    )]
    CheckpointBeyondEnd { checkpoint: Position, last_position: Position },
    /// `last_record` is 0 if there is no record.
    #[error(
        "last_position is {last_position} in its row of shards, but the last record is {last_record}"
    )]
    OtherEnd { last_position: Position, last_record: Position },
    /// Waits would begin anew.
    #[error("steady_time in its row of shards is before that of record {position}")]
    SteadyTimeBehind { position: Position },
    #[error("record {position} is missing")]
    MissingRecord { position: Position },
    #[error("column {column} of record {position} does not follow from its data")]
    OtherColumn { position: Position, column: &'static str },
    #[error("record {position} has version {} of {stream}, which comes after version {}", found.0, before.0)]
    OtherVersion { position: Position, stream: Stream, found: Version, before: Version },
    #[error("record {position} ({stream}) belongs to another organization than those before it")]
    OtherOrganization { position: Position, stream: Stream },
    #[error("record {position} ({stream}) follows from nothing in the log")]
    Unfounded { position: Position, stream: Stream },
}

/// Judges the numbers that an append finds in the row that it locks.
pub(crate) fn judge_numbers(
    last_position: Position,
    checkpoint: Position,
    epoch: Epoch,
) -> Result<(), LogDamage> {
    let numbers =
        [("last_position", last_position.0), ("checkpoint", checkpoint.0), ("epoch", epoch.0)];
    for (column, value) in numbers {
        if !(0..=MAX_NUMBER).contains(&value) {
            return Err(LogDamage::ImpossibleNumber { column, value });
        }
    }
    match checkpoint > last_position {
        true => Err(LogDamage::CheckpointBeyondEnd { checkpoint, last_position }),
        false => Ok(()),
    }
}

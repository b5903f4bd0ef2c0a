//! Intervals of time, and the ranges of ids that they are.

use jiff::SignedDuration;
use keeptrusts_webhooks_domain::Timestamp;
use ulid::Ulid;

/// How far clocks may differ before a list by time loses rows. Ids have the time of the process that
/// made them; the times that a list compares come from other clocks, such as the database's.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A range of ids, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ulids {
    pub(crate) first: Ulid,
    pub(crate) last: Ulid,
}

impl Ulids {
    /// The least of `before` and the end of the range: where a list below `before` begins.
    pub(crate) fn before(&self, before: Ulid) -> Ulid {
        before.min(Ulid(self.last.0.saturating_add(1)))
    }
}

/// An interval of time; an absent end is open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interval {
    /// Included.
    pub start: Option<Timestamp>,
    /// Excluded.
    pub end: Option<Timestamp>,
}

impl Interval {
    pub(crate) fn is_bounded(&self) -> bool {
        self.start.is_some() || self.end.is_some()
    }

    /// The ids between which everything lies that happened then, generously: so a primary key does
    /// for a range of time, without an index of its own.
    pub(crate) fn ulids(&self) -> Ulids {
        let millis = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
        let start = self.start.and_then(|time| time.checked_sub(MAX_CLOCK_SKEW).ok());
        let end = self.end.and_then(|time| time.checked_add(MAX_CLOCK_SKEW).ok());
        Ulids {
            first: Ulid::from_parts(start.map_or(0, millis), 0),
            last: end.map_or(Ulid(u128::MAX), |end| Ulid::from_parts(millis(end), u128::MAX)),
        }
    }

    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

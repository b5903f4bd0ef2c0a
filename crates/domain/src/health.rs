//! The weekly health summary: attempts counted by outcome, per endpoint and in all.

use std::cmp::Reverse;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::attempt::AttemptOutcome;
use crate::document::micros;
use crate::ids::EndpointId;

/// The endpoints that a summary lists one by one.
pub const MAX_ENDPOINTS_IN_SUMMARY: usize = 20;

/// The number of attempts by outcome. Tests are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptTally {
    /// Attempts that were answered 2xx.
    pub delivered: u64,
    /// Failed attempts that another one was to follow.
    pub retrying: u64,
    /// Failed attempts that were the last of their delivery.
    pub failed: u64,
}

impl AttemptTally {
    /// Adds `count` attempts with this outcome.
    pub fn add(&mut self, outcome: AttemptOutcome, count: u64) {
        match outcome {
            AttemptOutcome::Delivered => self.delivered += count,
            AttemptOutcome::Retrying => self.retrying += count,
            AttemptOutcome::Failed => self.failed += count,
        }
    }

    /// The number of all attempts.
    pub fn attempts(&self) -> u64 {
        self.delivered + self.retrying + self.failed
    }

    /// The share of attempts that were answered 2xx, from 0 to 1. None without attempts.
    pub fn success_rate(&self) -> Option<f64> {
        let attempts = self.attempts();
        (attempts > 0).then(|| self.delivered as f64 / attempts as f64)
    }
}

impl AddAssign for AttemptTally {
    fn add_assign(&mut self, other: AttemptTally) {
        self.delivered += other.delivered;
        self.retrying += other.retrying;
        self.failed += other.failed;
    }
}

/// The attempts of one endpoint in a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointTally {
    /// The endpoint. It may have been deleted since.
    pub endpoint_id: EndpointId,
    /// Its attempts by outcome.
    pub tally: AttemptTally,
    /// The median duration of its attempts. None without attempts.
    #[serde(serialize_with = "micros")]
    pub median_duration: Option<Duration>,
}

/// An organization's attempts in a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSummary {
    /// From Monday, 00:00 UTC, to the next Monday.
    pub week: Range<Timestamp>,
    /// The attempts of all endpoints.
    pub total: AttemptTally,
    /// The number of endpoints that had attempts.
    pub endpoint_count: usize,
    /// The worst endpoints, the worst first; at most [`MAX_ENDPOINTS_IN_SUMMARY`].
    pub worst: Vec<EndpointTally>,
}

impl HealthSummary {
    /// The summary of a week. Each endpoint may be in `endpoints` once.
    ///
    /// Lost deliveries count most: endpoints are ordered by how many deliveries failed for good,
    /// then by how many attempts failed, then by how few succeeded.
    pub fn of(week: Range<Timestamp>, mut endpoints: Vec<EndpointTally>) -> HealthSummary {
        let mut total = AttemptTally::default();
        endpoints.iter().for_each(|endpoint| total += endpoint.tally);
        endpoints.sort_unstable_by_key(|EndpointTally { endpoint_id, tally, .. }| {
            (Reverse((tally.failed, tally.retrying)), tally.delivered, *endpoint_id)
        });
        let endpoint_count = endpoints.len();
        endpoints.truncate(MAX_ENDPOINTS_IN_SUMMARY);
        HealthSummary { week, total, endpoint_count, worst: endpoints }
    }
}

/// The week that `time` lies in: from Monday, 00:00 UTC, to the next.
pub fn week_of(time: Timestamp) -> Range<Timestamp> {
    let date = time.to_zoned(TimeZone::UTC).date();
    let monday = date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days());
    begin_of(monday)..begin_of(monday.saturating_add(1.week()))
}

/// The last week that has ended at `now`.
pub fn last_week(now: Timestamp) -> Range<Timestamp> {
    let current = week_of(now);
    // A moment before the current week.
    week_of(current.start.checked_sub(1.nanosecond()).unwrap_or(Timestamp::MIN))
}

fn begin_of(date: Date) -> Timestamp {
    // Fails only for the first and the last days of jiff's range, the years -9999 and 9999.
    date.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |begin| begin.timestamp())
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn a_week_is_from_monday_to_monday_in_utc() {
        let week = time("2026-04-20T00:00:00Z")..time("2026-04-27T00:00:00Z");
        for within in ["2026-04-20T00:00:00Z", "2026-04-23T10:30:00Z", "2026-04-26T23:59:59.999Z"] {
            assert_eq!(week_of(time(within)), week, "{within}");
        }
        let before = time("2026-04-13T00:00:00Z")..week.start;
        assert_eq!(week_of(time("2026-04-19T23:59:59Z")), before);
        assert_eq!(last_week(time("2026-04-20T00:00:00Z")), before);
        assert_eq!(last_week(time("2026-04-26T12:00:00Z")), before);
        let new_year = time("2026-12-28T00:00:00Z")..time("2027-01-04T00:00:00Z");
        assert_eq!(week_of(time("2027-01-01T00:00:00Z")), new_year);
    }

    fn endpoint(number: u128, delivered: u64, retrying: u64, failed: u64) -> EndpointTally {
        EndpointTally {
            endpoint_id: EndpointId::new(Ulid(number)),
            tally: AttemptTally { delivered, retrying, failed },
            median_duration: Some(Duration::from_millis(5)),
        }
    }

    #[test]
    fn a_summary_has_the_worst_endpoints_first_and_counts_them_all() {
        let week = week_of(time("2026-04-23T10:30:00Z"));
        let [well, slow, lossy, idle] = [
            endpoint(1, 900, 0, 0),
            endpoint(2, 10, 7, 0),
            endpoint(3, 900, 9, 2),
            endpoint(4, 1, 0, 0),
        ];
        let summary = HealthSummary::of(week, vec![well, slow, lossy, idle]);
        assert_eq!(summary.worst, [lossy, slow, idle, well]);
        assert_eq!(summary.total, AttemptTally { delivered: 1_811, retrying: 16, failed: 2 });
        assert_eq!(summary.endpoint_count, 4);
    }

    #[test]
    fn a_summary_lists_twenty_endpoints_one_by_one() {
        let week = week_of(time("2026-04-23T10:30:00Z"));
        let endpoints = (0..1_000).map(|number| endpoint(number, 1, 0, number as u64)).collect();
        let summary = HealthSummary::of(week, endpoints);
        assert_eq!((summary.endpoint_count, summary.worst.len()), (1_000, 20));
        assert_eq!(summary.worst[0].tally.failed, 999);
        assert_eq!(summary.total.delivered, 1_000);
    }

    #[test]
    fn there_is_no_success_rate_without_attempts() {
        assert_eq!(AttemptTally::default().success_rate(), None);
        let tally = AttemptTally { delivered: 3, retrying: 0, failed: 1 };
        assert_eq!(tally.success_rate(), Some(0.75));
    }
}

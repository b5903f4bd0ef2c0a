//! Statistics from counts. Pure.

use std::collections::BTreeMap;

use keeptrusts_webhooks_contracts::time::{duration_to_proto, timestamp_to_proto};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_store::durations;
use keeptrusts_webhooks_store::log::projection::{CountKey, hour_of};

/// The first of `hours` hours, the last of which is the current one.
pub(super) fn first_hour(now: Timestamp, hours: u32) -> Timestamp {
    let before = jiff::SignedDuration::from_hours(i64::from(hours) - 1);
    hour_of(now).checked_sub(before).unwrap_or(Timestamp::MIN)
}

pub(super) fn response(counts: &[(CountKey, u64)]) -> v1::GetEndpointStatsResponse {
    let mut hours = BTreeMap::<Timestamp, Vec<&(CountKey, u64)>>::new();
    for count in counts {
        hours.entry(count.0.hour).or_default().push(count);
    }
    let hours = hours.into_iter().map(|(hour, counts)| v1::HourlyAttemptStats {
        start_time: Some(timestamp_to_proto(hour)),
        stats: Some(stats(counts)),
    });
    v1::GetEndpointStatsResponse { total: Some(stats(counts)), hours: hours.collect() }
}

fn stats<'a>(counts: impl IntoIterator<Item = &'a (CountKey, u64)>) -> v1::AttemptStats {
    let counts: Vec<_> = counts.into_iter().collect();
    let of = |outcome: AttemptOutcome| {
        let matching = counts.iter().filter(|(key, _)| key.outcome == outcome);
        matching.map(|(_, count)| *count as i64).sum::<i64>()
    };
    let (delivered, retrying, failed) =
        (of(AttemptOutcome::Delivered), of(AttemptOutcome::Retrying), of(AttemptOutcome::Failed));
    let all = delivered + retrying + failed;
    let buckets = counts.iter().map(|(key, count)| (key.duration_bucket, *count));
    v1::AttemptStats {
        delivered_count: delivered,
        retrying_count: retrying,
        failed_count: failed,
        success_rate: if all == 0 { 0.0 } else { delivered as f64 / all as f64 },
        median_duration: durations::median(buckets).map(duration_to_proto),
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::ids::EndpointId;

    use super::*;

    #[test]
    fn the_window_ends_with_the_current_hour() {
        let now: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a timestamp");
        assert_eq!(first_hour(now, 1).to_string(), "2026-04-23T10:00:00Z");
        assert_eq!(first_hour(now, 24).to_string(), "2026-04-22T11:00:00Z");
    }

    #[test]
    fn counts_are_added_up_by_outcome_and_by_hour() {
        let key = |hour, outcome, duration_bucket| CountKey {
            endpoint_id: EndpointId::MIN,
            hour: Timestamp::from_second(hour).expect("in range"),
            outcome,
            duration_bucket,
        };
        let counts = [
            (key(0, AttemptOutcome::Delivered, 10), 3),
            (key(0, AttemptOutcome::Retrying, 90), 1),
            (key(3_600, AttemptOutcome::Failed, 90), 1),
        ];
        let answer = response(&counts);
        let total = answer.total.expect("there");
        assert_eq!((total.delivered_count, total.retrying_count, total.failed_count), (3, 1, 1));
        assert!((total.success_rate - 0.6).abs() < 1e-9);
        assert_eq!(total.median_duration, Some(duration_to_proto(durations::middle(10))));
        assert_eq!(answer.hours.len(), 2);
    }

    #[test]
    fn without_attempts_there_is_no_rate_and_no_median() {
        let total = response(&[]).total.expect("there");
        assert_eq!((total.success_rate, total.median_duration), (0.0, None));
    }
}

//! The summary of an organization's attempts, computed from the sums in the store. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::health::{AttemptTally, EndpointTally, HealthSummary};
use keeptrusts_webhooks_domain::ids::EndpointId;

use crate::durations;
use crate::store::AttemptSum;

/// Summarizes a week; `sums` are its attempts.
pub fn summarize(week: Range<Timestamp>, sums: &[AttemptSum]) -> HealthSummary {
    let mut endpoints = BTreeMap::<EndpointId, Vec<&AttemptSum>>::new();
    for sum in sums {
        endpoints.entry(sum.endpoint_id).or_default().push(sum);
    }
    let tallies = endpoints.into_iter().map(|(endpoint_id, sums)| {
        let mut tally = AttemptTally::default();
        sums.iter().for_each(|sum| tally.add(sum.outcome, sum.count));
        let buckets = sums.iter().map(|sum| (sum.duration_bucket, sum.count));
        EndpointTally { endpoint_id, tally, median_duration: durations::median(buckets) }
    });
    HealthSummary::of(week, tallies.collect())
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
    use keeptrusts_webhooks_domain::health::week_of;
    use ulid::Ulid;

    use super::*;

    #[test]
    fn sums_are_added_up_by_endpoint() {
        let [one, other] = [1, 2].map(|number| EndpointId::new(Ulid(number)));
        let sum = |endpoint_id, outcome, duration_bucket, count| AttemptSum {
            endpoint_id,
            outcome,
            duration_bucket,
            count,
        };
        let sums = [
            sum(one, AttemptOutcome::Delivered, 10, 5),
            sum(one, AttemptOutcome::Delivered, 20, 1),
            sum(one, AttemptOutcome::Failed, 90, 2),
            sum(other, AttemptOutcome::Retrying, 90, 3),
        ];
        let summary = summarize(week_of(Timestamp::UNIX_EPOCH), &sums);
        assert_eq!(summary.total, AttemptTally { delivered: 6, retrying: 3, failed: 2 });
        let first = EndpointTally {
            endpoint_id: one,
            tally: AttemptTally { delivered: 6, retrying: 0, failed: 2 },
            median_duration: Some(durations::middle(10)),
        };
        let second = EndpointTally {
            endpoint_id: other,
            tally: AttemptTally { delivered: 0, retrying: 3, failed: 0 },
            median_duration: Some(durations::middle(90)),
        };
        assert_eq!(summary.worst, [first, second]);
    }
}

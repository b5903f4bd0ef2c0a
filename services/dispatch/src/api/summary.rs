//! Converts a week's summary to its message. Pure.

use keeptrusts_webhooks_contracts::time::{duration_to_proto, timestamp_to_proto};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::health::{AttemptTally, EndpointTally, HealthSummary};
use keeptrusts_webhooks_domain::ids::EndpointId;

/// `endpoints` are the summary's, in any order; `is_failing` says whether one's attempts only fail now.
pub(super) fn response(
    summary: &HealthSummary,
    endpoints: &[Endpoint],
    is_failing: impl Fn(EndpointId) -> bool,
) -> v1::GetHealthSummaryResponse {
    let rows = summary.worst.iter().map(|EndpointTally { endpoint_id, tally, median_duration }| {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == *endpoint_id);
        let existing = endpoint.filter(|endpoint| endpoint.delete_time.is_none());
        let state = existing.map(|endpoint| endpoint.state.effective(is_failing(endpoint.id)));
        v1::EndpointHealth {
            endpoint_id: endpoint_id.to_string(),
            display_name: endpoint
                .map(|endpoint| endpoint.config.display_name.clone())
                .unwrap_or_default(),
            state: state.map(|state| v1::endpoint::State::from(state).into()),
            stats: Some(v1::AttemptStats {
                median_duration: median_duration.map(duration_to_proto),
                ..stats(*tally)
            }),
        }
    });
    v1::GetHealthSummaryResponse {
        start_time: Some(timestamp_to_proto(summary.week.start)),
        end_time: Some(timestamp_to_proto(summary.week.end)),
        total: Some(stats(summary.total)),
        endpoint_count: i32::try_from(summary.endpoint_count).unwrap_or(i32::MAX),
        endpoints: rows.collect(),
    }
}

fn stats(tally: AttemptTally) -> v1::AttemptStats {
    // No table counts beyond 63 bits.
    v1::AttemptStats {
        delivered_count: tally.delivered as i64,
        retrying_count: tally.retrying as i64,
        failed_count: tally.failed as i64,
        success_rate: tally.success_rate().unwrap_or(0.0),
        median_duration: None,
    }
}

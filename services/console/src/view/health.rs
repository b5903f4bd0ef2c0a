//! How a week went.

use keeptrusts_webhooks_contracts::v1;

use super::Badge;
use super::chart::percent;
use super::endpoint::status;
use super::time::duration_of;

/// Counts of attempts as they are shown.
pub(crate) struct TallyView {
    pub(crate) delivered: i64,
    pub(crate) failed: i64,
    pub(crate) retrying: i64,
    /// None: there were no attempts.
    pub(crate) success_rate: Option<String>,
    pub(crate) median_duration: Option<String>,
}

impl TallyView {
    pub(crate) fn of(stats: &v1::AttemptStats) -> TallyView {
        let attempts = stats.delivered_count + stats.failed_count + stats.retrying_count;
        TallyView {
            delivered: stats.delivered_count,
            failed: stats.failed_count,
            retrying: stats.retrying_count,
            success_rate: (attempts > 0).then(|| percent(stats.success_rate)),
            median_duration: duration_of(stats.median_duration.as_ref()),
        }
    }
}

/// An endpoint's week.
pub(crate) struct HealthRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// None: the endpoint was deleted.
    pub(crate) status: Option<Badge>,
    pub(crate) tally: TallyView,
}

impl HealthRow {
    pub(crate) fn of(health: &v1::EndpointHealth) -> HealthRow {
        HealthRow {
            id: health.endpoint_id.clone(),
            name: health.display_name.clone(),
            status: health.state.is_some().then(|| status(health.state())),
            tally: TallyView::of(&health.stats.unwrap_or_default()),
        }
    }
}

//! What limits count, as selections. They are read while the shard is locked.

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayState};

use super::selection::{Comparison, ErasedSelection, Fixed, Selection};
use crate::log::count_limit::{CountOwner, Counted};
use crate::tables::{Cell, Entity};

/// Rows to count for each value of a column.
pub(crate) struct CountSelection {
    pub(crate) rows: ErasedSelection,
    pub(crate) column: &'static str,
    /// The values that are wanted, and whose numbers they are.
    pub(crate) wanted: Vec<(String, CountOwner)>,
}

/// At most one selection for each kind of thing that is counted.
pub(crate) fn count_selections(wanted: &[CountOwner]) -> impl Iterator<Item = CountSelection> {
    let of_organizations = |kind: Counted| {
        let of_kind = wanted.iter().filter(|(_, counted)| *counted == kind);
        let named = of_kind.map(|owner| (owner.0.to_string(), owner.clone()));
        named.collect()
    };
    // Within a shard, an endpoint's id belongs to one organization.
    let of_endpoints = wanted.iter().filter_map(|owner| match owner.1 {
        Counted::RunningReplaysOf(endpoint) => Some((endpoint.to_string(), owner.clone())),
        _ => None,
    });
    let endpoints = Selection::<Endpoint>::new().null("delete_time");
    let channels = Selection::<Channel>::new().null("delete_time");
    let organization = "organization_id";
    [
        count_by(endpoints, organization, of_organizations(Counted::Endpoints)),
        count_by(channels, organization, of_organizations(Counted::Channels)),
        count_by(running_replays(), organization, of_organizations(Counted::RunningReplays)),
        count_by(running_replays(), "endpoint_id", of_endpoints.collect()),
    ]
    .into_iter()
    .flatten()
}

/// The replays of a shard that have not ended, which are few.
pub(super) fn running_replays() -> Selection<Replay> {
    let running = Fixed::Word(ReplayState::Running.name());
    Selection::new().by_index("replays_running").fixed("state", Comparison::Equal, running)
}

fn count_by<Row: Entity>(
    rows: Selection<Row>,
    column: &'static str,
    wanted: Vec<(String, CountOwner)>,
) -> Option<CountSelection> {
    if wanted.is_empty() {
        return None;
    }
    let values = wanted.iter().map(|(value, _)| Cell::shown(value));
    let rows = rows.one_of(column, values).into_erased();
    Some(CountSelection { rows, column, wanted })
}

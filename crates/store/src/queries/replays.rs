//! Queries of replays.

use keeptrusts_webhooks_domain::ids::{OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::replay::Replay;

use super::counts::running_replays;
use super::filters::ReplayFilter;
use super::interval::Interval;
use super::list_page::ListPage;
use super::selection::Selection;
use super::walk::{self, List};
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::Cell;

impl dyn Store + '_ {
    pub async fn replay(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// An organization's replays, newest first, with ids below `before`. As with
    /// [events](Self::list_events), a limited number is examined.
    pub async fn list_replays(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &ReplayFilter,
        before: ReplayId,
        limit: usize,
    ) -> Result<ListPage<Replay, ReplayId>, StoreError> {
        let list = List {
            interval: Interval::default(),
            before: before.ulid(),
            examined_rows: filter.examined_rows(limit),
            limit,
            id: "replay_id",
            id_of: |row: &Replay| row.id,
            make_id: ReplayId::new,
        };
        walk::list(
            self,
            shard,
            organization,
            list,
            |before, _| below(organization, before).columns(&["organization_id", "replay_id"]),
            |before, least| listed(organization, filter, (before, least)),
        )
        .await
    }

    /// The replays that are running, of one organization or of the whole shard, by ascending id,
    /// with ids above `after`.
    pub async fn running_replays(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
        after: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let replays = running_replays()
            .equal_if("organization_id", organization)
            .greater("replay_id", after)
            .ascending(&["replay_id"])
            .limit(limit);
        self.selected(shard, replays).await
    }
}

/// An organization's replays below `before`. They are few, and have no index by endpoint.
fn below(organization: &OrganizationId, before: ReplayId) -> Selection<Replay> {
    Selection::new()
        .equal("organization_id", organization)
        .less("replay_id", before)
        .descending(&["replay_id"])
}

fn listed(
    organization: &OrganizationId,
    filter: &ReplayFilter,
    (before, least): (ReplayId, Option<ReplayId>),
) -> Selection<Replay> {
    let ReplayFilter { endpoint_ids, states } = filter;
    below(organization, before)
        .at_least_if("replay_id", least)
        .one_of("endpoint_id", endpoint_ids.iter().map(Cell::shown))
        .one_of("state", states.iter().map(|state| state.name().into()))
}

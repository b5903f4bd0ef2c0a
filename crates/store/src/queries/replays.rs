//! Queries of replays.

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayState};

use super::selection::{Comparison, Fixed, Selection};
use crate::error::StoreError;
use crate::store::Store;

impl dyn Store + '_ {
    pub async fn replay(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// An organization's replays, for one endpoint or for all, newest first, with ids below
    /// `before`.
    pub async fn list_replays(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        endpoint: Option<EndpointId>,
        before: ReplayId,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let replays = Selection::new()
            .equal("organization_id", organization)
            .less("replay_id", before)
            .equal_if("endpoint_id", endpoint)
            .descending(&["replay_id"])
            .limit(limit);
        self.selected(shard, replays).await
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
        let running = Fixed::Word(ReplayState::Running.name());
        let replays = Selection::new()
            .by_index("replays_running")
            .fixed("state", Comparison::Equal, running)
            .equal_if("organization_id", organization)
            .greater("replay_id", after)
            .ascending(&["replay_id"])
            .limit(limit);
        self.selected(shard, replays).await
    }
}

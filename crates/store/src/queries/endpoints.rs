//! Queries of endpoints.

use std::collections::{HashMap, HashSet};

use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState, FailureStreak};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::pause::Pause;

use super::filters::EndpointFilter;
use super::selection::{Comparison, Fixed, Selection};
use crate::error::StoreError;
use crate::log::rows::{FailingEndpoint, PausedEndpoint};
use crate::store::Store;
use crate::tables::{StoredRow, with_owner};

impl dyn Store + '_ {
    /// An endpoint, deleted or not.
    pub async fn endpoint(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// Endpoints by id, deleted or not, as far as they exist.
    pub async fn endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[EndpointId],
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.rows(shard, &with_owner(organization, ids)).await
    }

    /// Endpoints that are not deleted, newest first, with ids below `before`.
    pub async fn list_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EndpointFilter,
        before: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.selected(shard, listed(organization, filter, before).limit(limit)).await
    }

    /// All of a shard's endpoints, deleted ones included, by ascending id, with ids above `after`.
    pub async fn shard_endpoints(
        &self,
        shard: Shard,
        after: EndpointId,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let endpoints = Selection::new()
            .by_index("endpoints_id")
            .greater("endpoint_id", after)
            .ascending(&["endpoint_id"])
            .limit(limit);
        self.selected(shard, endpoints).await
    }

    /// The endpoints whose attempts have all failed lately: of an organization, or of the shard.
    pub async fn failing_endpoints(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, FailureStreak>, StoreError> {
        let theirs = Selection::new().equal_if("organization_id", organization);
        let rows = self.selected(shard, theirs).await?.into_iter();
        Ok(rows.map(|row: FailingEndpoint| (row.endpoint_id, row.failing)).collect())
    }

    /// An organization's disabled endpoints that are not deleted: all, or this one if it is.
    pub async fn disabled_endpoints(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        only: Option<EndpointId>,
    ) -> Result<HashSet<EndpointId>, StoreError> {
        let rows = self.select(shard, disabled(organization, only).erased()).await?;
        Ok(rows.map(|row| row.parsed("endpoint_id"))?.into_iter().collect())
    }

    /// The last pause of each endpoint, over or not: of an organization, or of the shard.
    pub async fn endpoint_pauses(
        &self,
        shard: Shard,
        organization: Option<&OrganizationId>,
    ) -> Result<HashMap<EndpointId, Pause>, StoreError> {
        let theirs = Selection::new().equal_if("organization_id", organization);
        let rows = self.selected(shard, theirs).await?.into_iter();
        Ok(rows.map(|row: PausedEndpoint| (row.endpoint_id, row.pause)).collect())
    }
}

pub(crate) fn disabled(
    organization: &OrganizationId,
    only: Option<EndpointId>,
) -> Selection<Endpoint> {
    Selection::new()
        .columns(&["endpoint_id"])
        .by_index("endpoints_disabled")
        .equal("organization_id", organization)
        .fixed("state", Comparison::Equal, Fixed::Word(EndpointState::Disabled.name()))
        .null("delete_time")
        .equal_if("endpoint_id", only)
}

pub(crate) fn listed(
    organization: &OrganizationId,
    filter: &EndpointFilter,
    before: EndpointId,
) -> Selection<Endpoint> {
    let EndpointFilter { states, search } = filter;
    Selection::new()
        .equal("organization_id", organization)
        .null("delete_time")
        .less("endpoint_id", before)
        .any_group(states.conditions(EndpointState::name))
        .containing(&["display_name", "url"], search.as_deref())
        .descending(&["endpoint_id"])
}

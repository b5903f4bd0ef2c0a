//! Queries of attempts.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;

use super::filters::AttemptFilter;
use super::list_page::ListPage;
use super::selection::Selection;
use super::walk::{self, List};
use crate::error::StoreError;
use crate::log::projection::CountKey;
use crate::store::Store;
use crate::tables::Cell;

impl dyn Store + '_ {
    pub async fn attempt(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// Attempts, newest first, with ids below `before`. As with [events](Self::list_events), a
    /// limited number is examined: of the endpoint or the delivery only, if the filter names one.
    pub async fn list_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AttemptFilter,
        before: AttemptId,
        limit: usize,
    ) -> Result<ListPage<Attempt, AttemptId>, StoreError> {
        let list = List {
            interval: filter.begun,
            before: before.ulid(),
            examined_rows: filter.examined_rows(limit),
            limit,
            id: "attempt_id",
            id_of: |row: &Attempt| row.details.id,
            make_id: AttemptId::new,
        };
        walk::list(
            self,
            shard,
            organization,
            list,
            |before, first| walk(organization, filter.endpoint_ids.only().copied(), before, first),
            |before, least| listed(organization, filter, (before, least)),
        )
        .await
    }

    /// The attempts of these deliveries, oldest first. They should be few together: nothing else limits
    /// how many rows are read but `limit`.
    pub async fn attempts_of_deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        deliveries: &[DeliveryId],
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let attempts = Selection::new()
            .by_index("attempts_delivery")
            .equal("organization_id", organization)
            .one_of("delivery_id", deliveries.iter().map(Cell::shown))
            .ascending(&["attempt_id"])
            .limit(limit);
        self.selected(shard, attempts).await
    }

    /// Counts of an endpoint's attempts, from an hour on.
    pub async fn attempt_counts(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        from_hour: Timestamp,
    ) -> Result<Vec<(CountKey, u64)>, StoreError> {
        let counts = Selection::new()
            .equal("endpoint_id", endpoint)
            .at_least("hour", from_hour)
            .ascending(&["hour", "outcome", "duration_bucket"]);
        self.selected(shard, counts).await
    }
}

/// The ids of an endpoint's attempts below `before`, or of all of an organization's.
pub(crate) fn walk(
    organization: &OrganizationId,
    endpoint: Option<EndpointId>,
    before: AttemptId,
    first: Option<AttemptId>,
) -> Selection<Attempt> {
    let rows = Selection::new().columns(&["organization_id", "attempt_id"]);
    let rows = match endpoint {
        Some(endpoint) => rows.by_index("attempts_endpoint").equal("endpoint_id", endpoint),
        None => rows.equal("organization_id", organization),
    };
    rows.less("attempt_id", before).at_least_if("attempt_id", first).descending(&["attempt_id"])
}

pub(crate) fn listed(
    organization: &OrganizationId,
    filter: &AttemptFilter,
    (before, least): (AttemptId, Option<AttemptId>),
) -> Selection<Attempt> {
    let AttemptFilter { endpoint_ids, delivery_id, event_types, outcomes, begun } = filter;
    let rows = match (delivery_id, endpoint_ids.only()) {
        (Some(_), _) => Selection::new().by_index("attempts_delivery"),
        (None, Some(_)) => Selection::new().by_index("attempts_endpoint"),
        (None, None) => Selection::new(),
    };
    rows.equal("organization_id", organization)
        .less("attempt_id", before)
        .at_least_if("attempt_id", least)
        .equal_if("delivery_id", *delivery_id)
        .one_of("endpoint_id", endpoint_ids.iter().map(Cell::shown))
        .one_of("event_type", event_types.iter().map(|event_type| event_type.name().into()))
        .one_of("outcome", outcomes.iter().map(|outcome| outcome.name().into()))
        .within("start_time", *begun)
        .descending(&["attempt_id"])
}

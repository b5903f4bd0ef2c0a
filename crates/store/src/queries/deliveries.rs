//! Queries of deliveries.

use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;

use super::filters::DeliveryFilter;
use super::list_page::ListPage;
use super::selection::Selection;
use super::walk::{self, List};
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::{Cell, with_owner};

impl dyn Store + '_ {
    /// Deliveries by id, as far as they exist.
    pub async fn deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[DeliveryId],
    ) -> Result<Vec<Delivery>, StoreError> {
        self.rows(shard, &with_owner(organization, ids)).await
    }

    /// Deliveries, newest first, with ids below `before`. As with [events](Self::list_events), a
    /// limited number is examined: of the endpoint or the event only, if the filter names one.
    pub async fn list_deliveries(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &DeliveryFilter,
        before: DeliveryId,
        limit: usize,
    ) -> Result<ListPage<Delivery, DeliveryId>, StoreError> {
        if filter.states.is_nothing() {
            return Ok(ListPage::empty());
        }
        let list = List {
            interval: filter.scheduled,
            before: before.ulid(),
            examined_rows: filter.examined_rows(limit),
            limit,
            id: "delivery_id",
            id_of: |row: &Delivery| row.id,
            make_id: DeliveryId::new,
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

    /// How many deliveries wait for an attempt. The time it takes grows with their number.
    pub async fn count_waiting(&self, shard: Shard) -> Result<u64, StoreError> {
        let waiting = Selection::<Delivery>::new().by_index("deliveries_due").not_null("due_time");
        self.count(shard, waiting.erased()).await
    }
}

/// The ids of an endpoint's deliveries below `before`, or of all of an organization's.
pub(crate) fn walk(
    organization: &OrganizationId,
    endpoint: Option<EndpointId>,
    before: DeliveryId,
    first: Option<DeliveryId>,
) -> Selection<Delivery> {
    let rows = Selection::new().columns(&["organization_id", "delivery_id"]);
    let rows = match endpoint {
        Some(endpoint) => rows.by_index("deliveries_endpoint").equal("endpoint_id", endpoint),
        None => rows.equal("organization_id", organization),
    };
    rows.less("delivery_id", before).at_least_if("delivery_id", first).descending(&["delivery_id"])
}

pub(crate) fn listed(
    organization: &OrganizationId,
    filter: &DeliveryFilter,
    (before, least): (DeliveryId, Option<DeliveryId>),
) -> Selection<Delivery> {
    let DeliveryFilter { endpoint_ids, event_id, event_types, states, scheduled } = filter;
    let rows = match (event_id, endpoint_ids.only()) {
        (Some(_), _) => Selection::new().by_index("deliveries_event"),
        (None, Some(_)) => Selection::new().by_index("deliveries_endpoint"),
        (None, None) => Selection::new(),
    };
    rows.equal("organization_id", organization)
        .less("delivery_id", before)
        .at_least_if("delivery_id", least)
        .equal_if("event_id", *event_id)
        .one_of("endpoint_id", endpoint_ids.iter().map(Cell::shown))
        .one_of("event_type", event_types.iter().map(|event_type| event_type.name().into()))
        .any_group(states.conditions(DeliveryState::name))
        .within("create_time", *scheduled)
        .descending(&["delivery_id"])
}

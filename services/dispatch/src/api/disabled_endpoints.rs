//! The states of deliveries, as far as they depend on their endpoints: what waits at a disabled endpoint is
//! paused.
//!
//! Decision: docs/decisions/effective-states-are-computed-when-read.md

use std::collections::HashSet;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::queries::StateFilter;
use keeptrusts_webhooks_store::{Log, StoreError};

/// An organization's disabled endpoints at one moment. A list is filtered by them and shows them, so that
/// no delivery is shown in a state that was not asked for.
#[derive(Default)]
pub(super) struct DisabledEndpoints(HashSet<EndpointId>);

impl DisabledEndpoints {
    /// Those that matter for the states of these deliveries. Few endpoints are disabled, and they are only
    /// read if something waits: one small query, or none.
    pub(super) async fn of<'a>(
        log: &Log,
        shard: Shard,
        organization: &OrganizationId,
        deliveries: impl IntoIterator<Item = &'a Delivery>,
    ) -> Result<DisabledEndpoints, StoreError> {
        let mut waiting = deliveries.into_iter().filter(|delivery| !delivery.state.has_ended());
        let Some(first) = waiting.next() else { return Ok(DisabledEndpoints::default()) };
        let first = first.endpoint_id;
        let only = waiting.all(|delivery| delivery.endpoint_id == first).then_some(first);
        let disabled = log.store().disabled_endpoints(shard, organization, only).await?;
        Ok(DisabledEndpoints(disabled))
    }

    /// All of an organization's.
    pub(super) async fn all(
        log: &Log,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<DisabledEndpoints, StoreError> {
        Ok(DisabledEndpoints(log.store().disabled_endpoints(shard, organization, None).await?))
    }

    pub(super) fn message(&self, delivery: &Delivery) -> v1::Delivery {
        let is_disabled = self.0.contains(&delivery.endpoint_id);
        v1::Delivery::of(delivery, delivery.state.effective(is_disabled))
    }

    /// Lets deliveries in one of these states through; none: all.
    pub(super) fn filter(&self, states: &[EffectiveDeliveryState]) -> StateFilter<DeliveryState> {
        StateFilter::of_deliveries(states, self.0.iter().copied())
    }
}

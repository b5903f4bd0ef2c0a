//! The states of deliveries, as far as they depend on their endpoints: what waits at a disabled endpoint is
//! paused.
//!
//! Decision: docs/decisions/effective-states-are-computed-when-read.md

use std::collections::HashSet;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::queries::StateFilter;
use keeptrusts_webhooks_store::{Log, StoreError};
use tonic::Status;

use super::dispatch_api::DispatchApi;

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

    pub(super) fn message(&self, delivery: &Delivery) -> v1::Delivery {
        let is_disabled = self.0.contains(&delivery.endpoint_id);
        v1::Delivery::of(delivery, delivery.state.effective(is_disabled))
    }

    /// Lets deliveries in one of these states through; none: all.
    pub(super) fn filter(&self, states: &[EffectiveDeliveryState]) -> StateFilter<DeliveryState> {
        StateFilter::of_deliveries(states, self.0.iter().copied())
    }
}

impl DispatchApi {
    /// The disabled endpoints, for a list of deliveries in these states. They are not read if none of these
    /// states depends on them.
    pub(super) async fn disabled_endpoints(
        &self,
        organization: &OrganizationId,
        states: &[EffectiveDeliveryState],
    ) -> Result<DisabledEndpoints, Status> {
        use EffectiveDeliveryState::{Cancelled, Delivered, Failed};
        let has_ended = |state: &_| matches!(state, Delivered | Failed | Cancelled);
        if !states.is_empty() && states.iter().all(has_ended) {
            return Ok(DisabledEndpoints::default());
        }
        let shard = self.log.shard_of(organization);
        let disabled = self.log.store().disabled_endpoints(shard, organization, None).await;
        Ok(DisabledEndpoints(disabled.map_err(database_errors::query_failed)?))
    }

    /// A delivery without its attempts.
    pub(super) async fn message(&self, delivery: &Delivery) -> Result<v1::Delivery, Status> {
        let organization = &delivery.organization_id;
        let shard = self.log.shard_of(organization);
        let disabled = DisabledEndpoints::of(&self.log, shard, organization, [delivery]).await;
        Ok(disabled.map_err(database_errors::query_failed)?.message(delivery))
    }

    /// Like [`message`](Self::message), after a committed change. If a query fails now (it is logged), the
    /// answer must not hide the change.
    pub(super) async fn message_after_change(&self, delivery: &Delivery) -> v1::Delivery {
        let message = self.message(delivery).await;
        message.unwrap_or_else(|_| DisabledEndpoints::default().message(delivery))
    }
}

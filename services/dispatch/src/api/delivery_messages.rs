//! Deliveries as the API has them, in their effective states.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::delivery::{Delivery, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::database_errors;
use tonic::Status;

use super::disabled_endpoints::DisabledEndpoints;
use super::dispatch_api::DispatchApi;

impl DispatchApi {
    /// The disabled endpoints, for a list of deliveries in these states. They are not read if none of these
    /// states depends on them.
    pub(super) async fn disabled_endpoints(
        &self,
        organization: &OrganizationId,
        states: &[EffectiveDeliveryState],
    ) -> Result<DisabledEndpoints, Status> {
        if !states.is_empty() && states.iter().all(|state| state.has_ended()) {
            return Ok(DisabledEndpoints::default());
        }
        let shard = self.log.shard_of(organization);
        let disabled = DisabledEndpoints::all(&self.log, shard, organization).await;
        disabled.map_err(database_errors::query_failed)
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

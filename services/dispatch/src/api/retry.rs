//! Requests one more attempt of a delivery.

use keeptrusts_webhooks_contracts::api::{AuthorizedRequest, DeliveryRef};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::log_writer::WriteError;
use keeptrusts_webhooks_store::BodyId;

use super::dispatch_api::DispatchApi;

impl DispatchApi {
    /// The delivery with the requested retry.
    pub(super) async fn retry(
        &self,
        call: &AuthorizedRequest<DeliveryRef>,
    ) -> Result<Delivery, WriteError> {
        let DeliveryRef { organization_id, delivery_id } = &call.request;
        let delivery = self.delivery(organization_id, *delivery_id).await?;
        if self.open_endpoint(organization_id, delivery.endpoint_id).await?.is_none() {
            let message = "the delivery's endpoint was deleted: there is nowhere to send it";
            return Err(status::failed_precondition(Reason::EndpointDeleted, message).into());
        }
        let shard = self.log.shard_of(organization_id);
        let body_id = BodyId::Event(delivery.event_id);
        let bodies =
            self.log.bodies(shard, &[body_id]).await.map_err(database_errors::query_failed)?;
        if bodies.is_empty() {
            let message = "the event's body is no longer kept: publish the event anew";
            return Err(status::failed_precondition(Reason::BodyExpired, message).into());
        }
        let metadata = |delivery: &Delivery| call.metadata(delivery.event_id);
        let fact = DeliveryFact::RetryRequested;
        self.append_request(&call.request, fact, metadata, |_| Ok(())).await
    }
}

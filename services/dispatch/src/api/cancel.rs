//! Cancels a delivery, and waits a moment for the owner to do it.

use std::time::Duration;

use keeptrusts_webhooks_contracts::api::{AuthorizedRequest, DeliveryRef};
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::log::Stream;
use tonic::Status;

use super::dispatch_api::DispatchApi;

/// How long the answer waits for the shard's owner, who needs a commit. Without an owner the
/// request is recorded, and the next owner acts on it.
const OWNER_TIMEOUT: Duration = Duration::from_secs(1);

impl DispatchApi {
    /// The delivery afterwards: cancelled, unless its shard has no owner now or an attempt ended
    /// first.
    pub(super) async fn cancel(
        &self,
        call: &AuthorizedRequest<DeliveryRef>,
    ) -> Result<Delivery, Status> {
        let DeliveryRef { organization_id, delivery_id } = &call.request;
        let allowed = |delivery: &Delivery| match delivery.state.has_ended() {
            false => Ok(()),
            true => Err(status::failed_precondition(
                Reason::DeliveryEnded,
                "the delivery has ended already: there is nothing to cancel",
            )),
        };
        let outcome = self.next_outcome(organization_id);
        let metadata = |delivery: &Delivery| call.metadata(delivery.event_id);
        let fact = DeliveryFact::CancelRequested;
        let requested = self.append_request(&call.request, fact, metadata, allowed).await?;
        let is_end = |fact: &Fact| {
            let Fact::Delivery(fact) = fact else { return false };
            matches!(fact, DeliveryFact::Cancelled { .. } | DeliveryFact::AttemptSucceeded(_))
        };
        let ended = outcome.wait(Stream::Delivery(*delivery_id), is_end);
        match tokio::time::timeout(OWNER_TIMEOUT, ended).await {
            Ok(Ok(())) => self.delivery(organization_id, *delivery_id).await,
            // The request is recorded, even if we cannot see what follows.
            Ok(Err(_)) | Err(_) => Ok(requested),
        }
    }
}

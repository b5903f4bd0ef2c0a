//! Sends a test and waits for its outcome.

use keeptrusts_webhooks_contracts::api::{AuthorizedRequest, EndpointRef};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EventId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_store::{BodyId, ExpectedVersion, NewBody, NewRecord, new_ulid};
use keeptrusts_webhooks_telemetry::new_trace;
use tonic::Status;

use super::dispatch_api::DispatchApi;

impl DispatchApi {
    pub(super) async fn run_test(
        &self,
        call: AuthorizedRequest<EndpointRef>,
    ) -> Result<(Delivery, v1::Attempt), Status> {
        let EndpointRef { organization_id: organization, endpoint_id } = &call.request;
        let endpoint_id = *endpoint_id;
        let endpoint = self.open_endpoint(organization, endpoint_id).await?;
        endpoint.ok_or_else(|| status::not_found(Resource::Endpoint, endpoint_id))?;
        let now = (self.clock)();
        let (event_id, delivery_id) = (EventId::new(new_ulid(now)), DeliveryId::new(new_ulid(now)));
        let content = body::render(EventType::Test, now, &body::test_data());
        let requested = DeliveryFact::TestRequested {
            event_id,
            endpoint_id,
            event_time: now,
            body: ContentDigest::of(&content),
        };
        let record = NewRecord {
            stream: Stream::Delivery(delivery_id),
            expected: ExpectedVersion::New,
            fact: Fact::Delivery(requested),
        };
        let body = NewBody {
            id: BodyId::Event(event_id),
            content: content.into(),
            expire_time: now.checked_add(self.body_retention).unwrap_or(Timestamp::MAX),
        };
        let mut metadata = call.metadata(event_id);
        metadata.trace = metadata.trace.or_else(|| Some(new_trace()));
        let outcome = self.next_outcome(organization);
        self.writer(organization).append_with_bodies(record, vec![body], metadata).await?;
        outcome.wait(Stream::Delivery(delivery_id), is_outcome).await?;
        let delivery = self.delivery(organization, delivery_id).await?;
        let attempt = self.delivery_with_attempts(&delivery).await?.attempts.pop();
        // A test that was cancelled (its endpoint was deleted meanwhile) has no attempt.
        let attempt = attempt.ok_or_else(|| status::not_found(Resource::Endpoint, endpoint_id))?;
        Ok((delivery, attempt))
    }
}

/// Whether a fact ends a test's delivery.
fn is_outcome(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Delivery(
            DeliveryFact::AttemptSucceeded(_)
                | DeliveryFact::AttemptFailed { .. }
                | DeliveryFact::Expired { .. }
                | DeliveryFact::Cancelled { .. }
        )
    )
}

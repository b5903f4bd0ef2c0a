//! Send a test and wait for its outcome.

use keeptrusts_webhooks_contracts::api::{Asked, EndpointRef};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{AppendError, BodyId, Expected, NewBody, NewRecord, new_ulid};
use keeptrusts_webhooks_telemetry::new_trace;
use tonic::Status;

use super::DispatchApi;

impl DispatchApi {
    pub(super) async fn test(
        &self,
        asked: Asked<EndpointRef>,
    ) -> Result<(Delivery, v1::Attempt), Status> {
        let EndpointRef { organization_id: organization, endpoint_id } = &asked.request;
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
            expected: Expected::New,
            fact: Fact::Delivery(requested),
        };
        let body = NewBody {
            id: BodyId::Event(event_id),
            content: content.into(),
            expire_time: now.checked_add(self.body_retention).unwrap_or(Timestamp::MAX),
        };
        let mut metadata = asked.metadata(event_id);
        metadata.trace = metadata.trace.or_else(|| Some(new_trace()));
        let shard = self.log.shard_of(organization);
        // Read before the request is appended, so that the outcome cannot be missed.
        let before = *self.log.watch(shard).borrow();
        let appended = self.append(organization, record, metadata, vec![body]).await?;
        appended.map_err(|refusal| answer::append_failed(AppendError::Refused(refusal)))?;
        self.wait_for(shard, organization, before, delivery_id, is_outcome).await?;
        let delivery = self.delivery(organization, delivery_id).await?;
        let attempt = self.attempts_of(&delivery).await?.pop();
        // A test that was cancelled (its endpoint was deleted meanwhile) has no attempt.
        let attempt = attempt.ok_or_else(|| status::not_found(Resource::Endpoint, endpoint_id))?;
        Ok((delivery, attempt))
    }

    /// Waits for a delivery's next record that satisfies the predicate, from after a position.
    pub(super) async fn wait_for(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: Position,
        delivery_id: DeliveryId,
        satisfies: impl Fn(&Fact) -> bool,
    ) -> Result<(), Status> {
        let mut follower = self.log.follow_organization(shard, organization, before);
        loop {
            let next = self.shutdown.run_until_cancelled(follower.next()).await;
            let own = next.ok_or_else(|| answer::append_failed(AppendError::Closed))?;
            let records = own.map_err(answer::query_failed)?.records;
            let stream = Stream::Delivery(delivery_id);
            if records.iter().any(|record| record.stream == stream && satisfies(&record.fact)) {
                return Ok(());
            }
        }
    }
}

/// Whether a fact is what a test's delivery ends with.
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

//! Sends a test and waits for its outcome.

use keeptrusts_webhooks_contracts::api::{AuthorizedRequest, SendTest};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::body;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EventId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_process::log_writer::WriteError;
use keeptrusts_webhooks_store::{BodyId, ExpectedVersion, NewBody, NewRecord, new_ulid};
use keeptrusts_webhooks_telemetry::new_trace;
use tonic::Status;

use super::dispatch_api::DispatchApi;

impl DispatchApi {
    pub(super) async fn run_test(
        &self,
        call: AuthorizedRequest<SendTest>,
    ) -> Result<v1::SendTestResponse, Status> {
        let SendTest { organization_id: organization, endpoint_id, .. } = &call.request;
        let outcome = self.next_outcome(organization);
        let (identity, repeat) = (call.identity.as_ref(), async |stream| Ok(stream));
        let request = self.request_test(&call);
        let (stream, duplicate) = self.writer(organization).once(identity, request, repeat).await?;
        let Stream::Delivery(id) = stream else { return Err(status::internal()) };
        // The outcome of an earlier call's test may be there already, or be on its way.
        let has_outcome = duplicate && has_outcome(&self.delivery(organization, id).await?);
        if !has_outcome {
            outcome.wait(stream, is_outcome).await?;
        }
        let delivery = self.delivery(organization, id).await?;
        // Its first one: somebody may have retried the test since.
        let shown = self.delivery_with_attempts(&delivery).await?;
        let attempt = shown.attempts.first().cloned();
        // A test that was cancelled (its endpoint was deleted meanwhile) has no attempt.
        attempt.as_ref().ok_or_else(|| status::not_found(Resource::Endpoint, endpoint_id))?;
        let delivery = Some(v1::Delivery { attempts: Vec::new(), ..shown });
        Ok(v1::SendTestResponse { delivery, attempt, duplicate })
    }

    /// Appends the request of a test; returns its delivery's stream.
    async fn request_test(&self, call: &AuthorizedRequest<SendTest>) -> Result<Stream, WriteError> {
        let SendTest { organization_id: organization, endpoint_id, event_type } = &call.request;
        let (endpoint_id, event_type) = (*endpoint_id, *event_type);
        let endpoint = self.open_endpoint(organization, endpoint_id).await?;
        endpoint.ok_or_else(|| status::not_found(Resource::Endpoint, endpoint_id))?;
        let now = (self.clock)();
        let (event_id, delivery_id) = (EventId::new(new_ulid(now)), DeliveryId::new(new_ulid(now)));
        let content = body::render_checked(event_type, now, sample_data(event_type));
        let requested = DeliveryFact::TestRequested {
            event_id,
            event_type,
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
        self.writer(organization).append_with_bodies(record, vec![body], metadata).await?;
        Ok(Stream::Delivery(delivery_id))
    }
}

/// Whether a test's delivery has had its outcome.
fn has_outcome(delivery: &Delivery) -> bool {
    delivery.attempt_count > 0 || delivery.state.has_ended()
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

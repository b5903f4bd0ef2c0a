//! Commands of publishers, admins and operators, appended to the log as the services do it.

use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::body::{EventData, render, render_checked};
use keeptrusts_webhooks_domain::endpoint::EndpointCommand;
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, EventAccepted, Fact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadPatch;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::trace::TraceContext;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, BodyId, DatabaseProblem, ExpectedVersion, NewBody, NewRecord,
    Operation, Refusal, new_ulid,
};

use super::{EVENT_TYPE, World, secret};

impl World {
    /// Creates an endpoint that subscribes to [`EVENT_TYPE`].
    pub(crate) async fn endpoint(&self, name: &str) -> EndpointId {
        self.endpoint_for(name, EVENT_TYPE).await
    }

    /// Creates an endpoint that subscribes to an event type.
    pub(crate) async fn endpoint_for(&self, name: &str, event_type: EventType) -> EndpointId {
        self.endpoint_of(&self.organizations[0], name, event_type).await
    }

    /// Creates an organization's endpoint.
    pub(crate) async fn endpoint_of(
        &self,
        organization: &OrganizationId,
        name: &str,
        event_type: EventType,
    ) -> EndpointId {
        let created = self.try_endpoint_of(organization, name, event_type).await;
        created.expect("the endpoint is created")
    }

    /// Creates an organization's endpoint, if the database lets it.
    pub(crate) async fn try_endpoint_of(
        &self,
        organization: &OrganizationId,
        name: &str,
        event_type: EventType,
    ) -> Result<EndpointId, AppendError> {
        let id = EndpointId::new(new_ulid(self.now()));
        let sealed = self.api_process.keyring.seal(organization, id, &secret()).await;
        let secret = sealed.map_err(|_| AppendError::Unavailable(DatabaseProblem::Unreachable))?;
        let config = EndpointConfig {
            display_name: name.to_owned(),
            url: format!("https://receiver.example/{name}"),
            event_types: vec![event_type],
            ..EndpointConfig::default()
        };
        let created = EndpointFact::Created { config, secret };
        let record = NewRecord {
            stream: Stream::Endpoint(id),
            expected: ExpectedVersion::New,
            fact: Fact::Endpoint(created),
        };
        self.append(organization, record, None).await?;
        Ok(id)
    }

    /// Erases the data key of an organization.
    pub(crate) async fn erase(&self, organization: &OrganizationId) {
        let shard = self.shard_of(organization);
        self.database.erase_data_key(shard, organization).await.expect("it is erased");
    }

    /// Publishes an event.
    pub(crate) async fn publish(&self) -> EventId {
        self.publish_type(EVENT_TYPE).await
    }

    /// Publishes an event of a type.
    pub(crate) async fn publish_type(&self, event_type: EventType) -> EventId {
        let organization = &self.organizations[0];
        self.try_publish(organization, event_type).await.expect("the event is accepted")
    }

    /// Publishes an event that belongs to a trace.
    pub(crate) async fn publish_traced(&self, trace: TraceContext) -> EventId {
        let organization = &self.organizations[0];
        let published = self.try_publish_traced(organization, EVENT_TYPE, Some(trace)).await;
        published.expect("the event is accepted")
    }

    /// Publishes so many events.
    pub(crate) async fn publish_many(&self, count: usize) -> Vec<EventId> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(self.publish().await);
        }
        events
    }

    /// Publishes an organization's event, which is accepted only if the result is Ok.
    pub(crate) async fn try_publish(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
    ) -> Result<EventId, AppendError> {
        self.try_publish_traced(organization, event_type, None).await
    }

    async fn try_publish_traced(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
        trace: Option<TraceContext>,
    ) -> Result<EventId, AppendError> {
        let id = EventId::new(new_ulid(self.now()));
        let data = EventData::new("data", &format!(r#"{{"number": 1.0, "id":"{id}"}}"#));
        let body = render(event_type, self.now(), &data.expect("an object"));
        let accepted = EventAccepted {
            event_type,
            event_time: self.now(),
            body: ContentDigest::of(&body),
            idempotency: None,
            is_routed: false,
        };
        let record = NewRecord {
            stream: Stream::Event(id),
            expected: ExpectedVersion::New,
            fact: Fact::EventAccepted(accepted),
        };
        self.append_traced(organization, record, Some(kept(id, body)), trace).await?;
        Ok(id)
    }

    pub(crate) async fn command(&self, endpoint_id: EndpointId, command: EndpointCommand) {
        self.try_command(endpoint_id, command).await.expect("the command is carried out");
    }

    /// Executes a command on an endpoint, if the database lets it.
    pub(crate) async fn try_command(
        &self,
        endpoint_id: EndpointId,
        command: EndpointCommand,
    ) -> Result<(), AppendError> {
        loop {
            let endpoint = self.read_endpoint(endpoint_id).await;
            let decided = endpoint.decide(command.clone(), None);
            let Some(fact) = decided.expect("the endpoint was not deleted") else { return Ok(()) };
            let record = NewRecord::following(&endpoint, fact);
            match self.append(&endpoint.organization_id, record, None).await {
                // Dispatch has changed its status meanwhile.
                Err(AppendError::Refused(Refusal::StaleVersion { .. })) => {}
                appended => return appended.map(drop),
            }
        }
    }

    pub(crate) async fn disable(&self, endpoint_id: EndpointId) {
        self.command(endpoint_id, EndpointCommand::Disable { reason: "maintenance".into() }).await;
    }

    pub(crate) async fn enable(&self, endpoint_id: EndpointId) {
        self.command(endpoint_id, EndpointCommand::Enable).await;
    }

    pub(crate) async fn delete(&self, endpoint_id: EndpointId) {
        self.command(endpoint_id, EndpointCommand::Delete).await;
    }

    /// Gives an endpoint a new secret; the old one also signs during the overlap. Returns the time.
    pub(crate) async fn rotate_secret(
        &self,
        endpoint_id: EndpointId,
        secret: &Secret,
        overlap: Option<Duration>,
    ) -> Timestamp {
        let now = self.now();
        let organization = self.read_endpoint(endpoint_id).await.organization_id;
        let sealed = self.api_process.keyring.seal(&organization, endpoint_id, secret).await;
        let secret = sealed.expect("sealed");
        let previous_expire_time = overlap.map(|overlap| now + overlap);
        let rotate = EndpointCommand::RotateSecret { secret, previous_expire_time };
        self.command(endpoint_id, rotate).await;
        self.settle().await;
        now
    }

    /// Changes what an endpoint subscribes to.
    pub(crate) async fn subscribe(&self, endpoint_id: EndpointId, event_type: EventType) {
        let event_types = Some(vec![event_type]);
        self.update(endpoint_id, EndpointPatch { event_types, ..EndpointPatch::default() }).await;
    }

    /// Changes an endpoint's configuration.
    pub(crate) async fn update(&self, endpoint_id: EndpointId, patch: EndpointPatch<PayloadPatch>) {
        self.command(endpoint_id, EndpointCommand::Update { patch, secret: None }).await;
    }

    pub(crate) async fn request_retry(&self, delivery_id: DeliveryId) {
        let asked = self.try_request(delivery_id, DeliveryFact::RetryRequested).await;
        asked.expect("the request is taken in");
    }

    pub(crate) async fn request_cancellation(&self, delivery_id: DeliveryId) {
        let asked = self.try_request(delivery_id, DeliveryFact::CancelRequested).await;
        asked.expect("the request is taken in");
    }

    /// Appends a request for the owner of the delivery's shard, if the database lets it.
    pub(crate) async fn try_request(
        &self,
        delivery_id: DeliveryId,
        request: DeliveryFact,
    ) -> Result<(), AppendError> {
        let organization = self.read_delivery(delivery_id).await.organization_id;
        let record = NewRecord {
            stream: Stream::Delivery(delivery_id),
            expected: ExpectedVersion::Any,
            fact: Fact::Delivery(request),
        };
        self.append(&organization, record, None).await.map(drop)
    }

    /// Requests a test of an endpoint.
    pub(crate) async fn send_test(&self, endpoint_id: EndpointId) -> DeliveryId {
        self.send_test_of(EventType::Test, endpoint_id).await
    }

    /// Requests a test of an endpoint with an event of this type.
    pub(crate) async fn send_test_of(
        &self,
        event_type: EventType,
        endpoint_id: EndpointId,
    ) -> DeliveryId {
        let organization = self.read_endpoint(endpoint_id).await.organization_id;
        let now = self.now();
        let (id, event_id) = (DeliveryId::new(new_ulid(now)), EventId::new(new_ulid(now)));
        let body = render_checked(event_type, now, sample_data(event_type));
        let requested = DeliveryFact::TestRequested {
            event_id,
            event_type,
            endpoint_id,
            event_time: now,
            body: ContentDigest::of(&body),
        };
        let record = NewRecord {
            stream: Stream::Delivery(id),
            expected: ExpectedVersion::New,
            fact: Fact::Delivery(requested),
        };
        let appended = self.append(&organization, record, Some(kept(event_id, body))).await;
        appended.expect("the request is taken in");
        id
    }

    pub(super) async fn append(
        &self,
        organization: &OrganizationId,
        record: NewRecord,
        body: Option<NewBody>,
    ) -> Result<AppendOutcome, AppendError> {
        self.append_traced(organization, record, body, None).await
    }

    async fn append_traced(
        &self,
        organization: &OrganizationId,
        record: NewRecord,
        body: Option<NewBody>,
        trace: Option<TraceContext>,
    ) -> Result<AppendOutcome, AppendError> {
        let metadata = Metadata { actor: "test".to_owned(), trace, ..Metadata::default() };
        let operation = Operation {
            bodies: Vec::from_iter(body),
            ..Operation::recording(organization, vec![record], metadata, self.now())
        };
        self.api_process.log.append(self.shard_of(organization), operation).await
    }
}

fn kept(event_id: EventId, body: Vec<u8>) -> NewBody {
    NewBody { id: BodyId::Event(event_id), content: body.into(), expire_time: Timestamp::MAX }
}

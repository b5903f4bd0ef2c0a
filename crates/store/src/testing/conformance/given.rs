//! Builders of the operations that checks append. They fill in what a check does not care about.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::delivery::{Delivery, RequestResult};
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{
    DeliveriesScheduled, DeliveryFact, EndpointFact, EventAccepted, Fact,
};
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, OperationId, OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::log::{Epoch, Position, Shard, Stream, Version};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{NewReplay, ReplayFact, ReplayScope, ReplaySelection};
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestDigest, RequestId};
use keeptrusts_webhooks_domain::retry::RetrySchedule;
use keeptrusts_webhooks_domain::secret::SealedSecret;
use ulid::Ulid;

use crate::log::operation::{
    BodyId, CheckpointAdvance, ExpectedVersion, NewBody, NewRecord, Operation,
};

/// The shard that checks use: every backend has it.
pub(crate) const SHARD: Shard = Shard(0);

/// The type of every event, unless a check says otherwise.
pub(crate) const EVENT_TYPE: EventType = EventType::PolicyViolation;

/// The time of every event, unless a check says otherwise.
pub(crate) const EVENT_TIME: &str = "2026-04-23T10:29:59.123456Z";

/// The organization of everything, unless a check says otherwise.
pub(crate) fn organization() -> OrganizationId {
    "acme".parse().expect("an organization's id")
}

/// Another organization on the same shard.
pub(crate) fn other_organization() -> OrganizationId {
    "globex".parse().expect("an organization's id")
}

/// A time from its text.
pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// A ULID above all earlier ones of the process.
fn next_ulid() -> Ulid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Ulid(u128::from(LAST.fetch_add(1, Ordering::SeqCst) + 1))
}

pub(crate) fn endpoint_id() -> EndpointId {
    EndpointId::new(next_ulid())
}

pub(crate) fn event_id() -> EventId {
    EventId::new(next_ulid())
}

pub(crate) fn delivery_id() -> DeliveryId {
    DeliveryId::new(next_ulid())
}

pub(crate) fn attempt_id() -> AttemptId {
    AttemptId::new(next_ulid())
}

pub(crate) fn replay_id() -> ReplayId {
    ReplayId::new(next_ulid())
}

/// A selection of everything in a scope.
pub(crate) fn replay_selection(endpoint_id: EndpointId, scope: ReplayScope) -> ReplaySelection {
    ReplaySelection {
        endpoint_id,
        scope,
        start_time: None,
        end_time: None,
        start_event: None,
        end_event: None,
        event_types: Vec::new(),
        include_delivered: false,
    }
}

/// Requests a replay.
pub(crate) fn ask_replay(id: ReplayId, selection: ReplaySelection) -> Operation {
    let new = NewReplay {
        selection,
        deliveries_per_second: 100,
        matched_count: 1,
        may_match_more: false,
    };
    operation(Stream::Replay(id), ExpectedVersion::New, Fact::Replay(ReplayFact::Requested(new)))
}

/// A secret that looks sealed.
pub(crate) fn sealed(text: &str) -> SealedSecret {
    SealedSecret {
        key_id: "key-1".to_owned(),
        nonce: [7; 12],
        ciphertext: text.as_bytes().to_vec(),
    }
}

/// A request with an id; the same `content` makes the same request.
pub(crate) fn identified(id: &str, content: &str) -> IdentifiedRequest {
    let id = RequestId::optional(id.to_owned()).expect("an id").expect("not empty");
    let digest = RequestDigest(ContentDigest::of(content.as_bytes()).sha256);
    IdentifiedRequest { id, digest }
}

/// An operation of one record; the methods below add to it.
pub(crate) fn operation(stream: Stream, expected: ExpectedVersion, fact: Fact) -> Operation {
    let records = vec![NewRecord { stream, expected, fact }];
    let by_time =
        Operation::recording(&organization(), records, Metadata::default(), Timestamp::UNIX_EPOCH);
    Operation { id: OperationId::new(next_ulid()), ..by_time }
}

impl Operation {
    /// Of a request with an id; the same `content` makes the same request.
    pub(crate) fn requested(mut self, id: &str, content: &str) -> Operation {
        self.metadata.request = Some(identified(id, content));
        self
    }

    /// Of another organization.
    pub(crate) fn of(self, organization_id: OrganizationId) -> Operation {
        Operation { organization_id, ..self }
    }

    /// With a fence, as the shard's owner appends it.
    pub(crate) fn fenced(self, epoch: Epoch) -> Operation {
        Operation { fence: Some(epoch), ..self }
    }

    /// Moves the checkpoint too.
    pub(crate) fn advancing(self, from: i64, to: i64) -> Operation {
        let step = CheckpointAdvance { from: Position(from), to: Position(to) };
        Operation { checkpoint: Some(step), ..self }
    }

    /// Adds a record.
    pub(crate) fn and(mut self, other: Operation) -> Operation {
        self.records.extend(other.records);
        self.bodies.extend(other.bodies);
        self
    }

    /// Adds a body.
    pub(crate) fn with_body(
        mut self,
        id: BodyId,
        content: impl Into<Bytes>,
        expire_time: Timestamp,
    ) -> Operation {
        self.bodies.push(NewBody { id, content: content.into(), expire_time });
        self
    }
}

/// Creates an endpoint that subscribes to [`EVENT_TYPE`].
pub(crate) fn create_endpoint(id: EndpointId) -> Operation {
    create_endpoint_with(id, &format!("endpoint {id}"), &format!("https://{id}.example/"))
}

/// Creates an endpoint with this name and URL.
pub(crate) fn create_endpoint_with(id: EndpointId, name: &str, url: &str) -> Operation {
    let config = EndpointConfig {
        display_name: name.to_owned(),
        url: url.to_owned(),
        event_types: vec![EVENT_TYPE],
        ..EndpointConfig::default()
    };
    let fact = EndpointFact::Created { config, secret: sealed("secret") };
    operation(Stream::Endpoint(id), ExpectedVersion::New, Fact::Endpoint(fact))
}

/// Appends a fact to an endpoint's stream.
pub(crate) fn change_endpoint(
    id: EndpointId,
    expected: ExpectedVersion,
    fact: EndpointFact,
) -> Operation {
    operation(Stream::Endpoint(id), expected, Fact::Endpoint(fact))
}

/// A change of an endpoint's configuration.
pub(crate) fn updated(patch: EndpointPatch) -> EndpointFact {
    EndpointFact::Updated { patch, secret: None, before: EndpointPatch::default() }
}

/// The same, with a new secret.
pub(crate) fn updated_with_secret(secret: SealedSecret, patch: EndpointPatch) -> EndpointFact {
    EndpointFact::Updated { patch, secret: Some(secret), before: EndpointPatch::default() }
}

/// Renames an endpoint.
pub(crate) fn rename_endpoint(id: EndpointId, expected: ExpectedVersion, name: &str) -> Operation {
    let patch = EndpointPatch { display_name: Some(name.to_owned()), ..EndpointPatch::default() };
    change_endpoint(id, expected, updated(patch))
}

/// Changes the URL of an endpoint.
pub(crate) fn move_endpoint(id: EndpointId, url: &str) -> Operation {
    let patch = EndpointPatch { url: Some(url.to_owned()), ..EndpointPatch::default() };
    change_endpoint(id, ExpectedVersion::Any, updated(patch))
}

/// Expects a stream to have this many records.
pub(crate) fn version(version: i64) -> ExpectedVersion {
    ExpectedVersion::Exactly(Version(version))
}

/// Publishes an event.
pub(crate) fn publish(id: EventId) -> Operation {
    publish_type(id, EVENT_TYPE)
}

/// Publishes an event of a type.
pub(crate) fn publish_type(id: EventId, event_type: EventType) -> Operation {
    accept(id, event_type, None)
}

/// Publishes an event with an idempotency key; the same `content` makes the same request.
pub(crate) fn publish_with_key(id: EventId, key: &str, content: &str) -> Operation {
    let key = IdempotencyKey::optional(key.to_owned()).expect("a key").expect("not empty");
    let request_sha256 = ContentDigest::of(content.as_bytes()).sha256;
    accept(id, EVENT_TYPE, Some(Idempotency { key, request_sha256 }))
}

fn accept(id: EventId, event_type: EventType, idempotency: Option<Idempotency>) -> Operation {
    let accepted = EventAccepted {
        event_type,
        event_time: time(EVENT_TIME),
        body: ContentDigest::of(id.to_string().as_bytes()),
        idempotency,
        is_routed: false,
    };
    operation(Stream::Event(id), ExpectedVersion::New, Fact::EventAccepted(accepted))
}

/// Routes an event.
pub(crate) fn schedule(
    id: EventId,
    deliveries: &[(DeliveryId, EndpointId)],
    missed: &[EndpointId],
) -> Operation {
    schedule_type(id, EVENT_TYPE, deliveries, missed)
}

/// Routes an event of a type.
pub(crate) fn schedule_type(
    id: EventId,
    event_type: EventType,
    deliveries: &[(DeliveryId, EndpointId)],
    missed: &[EndpointId],
) -> Operation {
    let scheduled = DeliveriesScheduled {
        event_type,
        event_time: Some(time(EVENT_TIME)),
        deliveries: deliveries.to_vec(),
        missed: missed.to_vec(),
    };
    operation(Stream::Event(id), ExpectedVersion::Any, Fact::DeliveriesScheduled(scheduled))
}

/// Requests a test of an endpoint, of the type that other events have.
pub(crate) fn request_test(
    id: DeliveryId,
    event_id: EventId,
    endpoint_id: EndpointId,
) -> Operation {
    request_test_of(EVENT_TYPE, id, event_id, endpoint_id)
}

/// Requests a test of an endpoint, of this type.
pub(crate) fn request_test_of(
    event_type: EventType,
    id: DeliveryId,
    event_id: EventId,
    endpoint_id: EndpointId,
) -> Operation {
    let fact = DeliveryFact::TestRequested {
        event_id,
        event_type,
        endpoint_id,
        event_time: time("2026-04-23T10:29:59.5Z"),
        body: ContentDigest::of(b"test"),
    };
    operation(Stream::Delivery(id), ExpectedVersion::New, Fact::Delivery(fact))
}

/// Appends a fact to a delivery's stream.
pub(crate) fn change_delivery(
    id: DeliveryId,
    expected: ExpectedVersion,
    fact: DeliveryFact,
) -> Operation {
    operation(Stream::Delivery(id), expected, Fact::Delivery(fact))
}

/// The attempt that is due for a delivery, begun at `start_time`.
pub(crate) fn attempt_of(delivery: &Delivery, start_time: Timestamp) -> AttemptDetails {
    let trigger = delivery.due_trigger();
    AttemptDetails {
        id: attempt_id(),
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        endpoint_id: delivery.endpoint_id,
        number: delivery.attempt_count + 1,
        automatic_count: delivery.automatic_count + u32::from(trigger == Trigger::Automatic),
        trigger,
        start_time,
        duration: Duration::from_millis(5),
        status_code: None,
        exchange: ContentDigest::of(b"exchange"),
        remark: format!("a remark on attempt {}", delivery.attempt_count + 1),
    }
}

/// An attempt's success, begun at `start_time`.
pub(crate) fn succeed(delivery: &Delivery, start_time: Timestamp) -> Operation {
    let details = AttemptDetails { status_code: Some(204), ..attempt_of(delivery, start_time) };
    conclude(delivery, details, RequestResult::Succeeded)
}

/// An attempt's failure, begun at `start_time`.
pub(crate) fn fail(delivery: &Delivery, start_time: Timestamp) -> Operation {
    let details = AttemptDetails { status_code: Some(500), ..attempt_of(delivery, start_time) };
    conclude(delivery, details, failure())
}

/// A failed request: answered 500.
pub(crate) fn failure() -> RequestResult {
    let error = "answered 500".to_owned();
    RequestResult::Failed { error, retry_after: None, endpoint_pause: None }
}

/// An attempt's failure, begun at `start_time`: the receiver answered 429 and asked for a pause of
/// `wait`.
pub(crate) fn fail_with_pause(
    delivery: &Delivery,
    start_time: Timestamp,
    wait: Duration,
) -> Operation {
    let details = AttemptDetails { status_code: Some(429), ..attempt_of(delivery, start_time) };
    let endpoint_pause = Pause::after_answer(429, Some(wait));
    let request_result = RequestResult::Failed {
        error: "answered 429".to_owned(),
        retry_after: Some(wait),
        endpoint_pause,
    };
    conclude(delivery, details, request_result)
}

/// The fact that an attempt leads to, by the default retry schedule.
pub(crate) fn conclude(
    delivery: &Delivery,
    details: AttemptDetails,
    request_result: RequestResult,
) -> Operation {
    let end_time = details.start_time + details.duration;
    let steady_end_time = on_steady_clock(end_time);
    let fact = delivery.conclude(
        details,
        request_result,
        end_time,
        steady_end_time,
        &RetrySchedule::default(),
    );
    change_delivery(delivery.id, ExpectedVersion::Exactly(delivery.version), fact)
}

/// A steady clock that is an hour ahead of all others.
pub(crate) fn on_steady_clock(time: Timestamp) -> Timestamp {
    time + Duration::from_secs(3_600)
}

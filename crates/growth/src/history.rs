//! What happened: operations as services append them, computed from a delivery's number. Pure, so that
//! a history can be continued at any number, and is the same each time.
//!
//! Delivery N is scheduled N times [`INTERVAL`] after [`BEGIN`], and its number is the random part of
//! its ids. Most of the deliveries belong to one organization; all organizations are on one shard.

use std::time::Duration;

use fastrand::Rng;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::channel::{ChannelConfig, ChannelFact, ChannelKind, Destination};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::endpoint_config::EndpointConfig;
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{
    DeliveriesScheduled, DeliveryFact, EndpointFact, EventAccepted, Fact,
};
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OrganizationId,
    ReplayId,
};
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, TokenDigest};
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use keeptrusts_webhooks_domain::notification::{
    NewNotification, NotificationAttempt, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_domain::replay::{NewReplay, ReplayFact, ReplayScope, ReplaySelection};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, Operation};
use ulid::Ulid;

/// The shard of everything: that of the keys, too.
pub(crate) const SHARD: Shard = Shard::OF_KEYS;
/// 2026-01-01, in microseconds of Unix time.
const BEGIN: i64 = 1_767_225_600_000_000;
/// From one delivery to the next: ten thousand are 17 hours, a million are ten weeks.
const INTERVAL: Duration = Duration::from_secs(6);
const ORGANIZATIONS: usize = 4;
/// Endpoints of each organization.
const ENDPOINTS: u64 = 40;
const PUBLISHERS: u64 = 20;

/// One delivery in so many.
mod one_in {
    /// Belongs to another organization than the first.
    pub(super) const OTHER_ORGANIZATION: u64 = 20;
    /// Is of the rare event type.
    pub(super) const RARE_TYPE: u64 = 20_000;
    /// Is to the endpoint that few are for.
    pub(super) const QUIET_ENDPOINT: u64 = 5_000;
    pub(super) const FAILED: u64 = 40;
    pub(super) const RETRYING: u64 = 400;
    pub(super) const SCHEDULED: u64 = 400;
    pub(super) const CANCELLED: u64 = 2_000;
    pub(super) const MISSED: u64 = 50;
    pub(super) const IDEMPOTENT: u64 = 4;
    /// Has something of each beside it: an endpoint's update, a key, a notification, a test.
    pub(super) const ADMINISTERED: u64 = 200;
    pub(super) const REPLAY: u64 = 2_000;
}

/// The type that most events have, one that few have, and one that none has.
pub(crate) const COMMON_TYPE: EventType = EventType::PolicyViolation;
pub(crate) const RARE_TYPE: EventType = EventType::ExportFailed;
pub(crate) const ABSENT_TYPE: EventType = EventType::ConfigDeployed;

/// The organizations and the seed of a history.
pub(crate) struct History {
    seed: u64,
    organizations: Vec<OrganizationId>,
}

impl History {
    /// Of organizations that are on [`SHARD`].
    pub(crate) fn new(seed: u64, shard_count: u16) -> History {
        let names = (0..).filter_map(|number| format!("organization-{number}").parse().ok());
        let here = names.filter(|name| Shard::of(name, shard_count) == SHARD);
        History { seed, organizations: here.take(ORGANIZATIONS).collect() }
    }

    /// The organization that most deliveries belong to.
    pub(crate) fn main_organization(&self) -> &OrganizationId {
        &self.organizations[0]
    }

    pub(crate) fn organizations(&self) -> &[OrganizationId] {
        &self.organizations
    }

    /// What there is before the first delivery.
    pub(crate) fn beginning(&self) -> Vec<Operation> {
        let endpoints = (0..self.organizations.len()).flat_map(|organization| {
            (0..ENDPOINTS).map(move |endpoint| endpoint_id(organization, endpoint))
        });
        let mut operations: Vec<Operation> = endpoints
            .enumerate()
            .map(|(index, id)| {
                let config = EndpointConfig {
                    display_name: format!("endpoint {index}"),
                    url: format!("https://{index}.example/"),
                    event_types: vec![COMMON_TYPE, RARE_TYPE],
                    ..EndpointConfig::default()
                };
                let organization = &self.organizations[index / ENDPOINTS as usize];
                let fact = EndpointFact::Created { config, secret: sealed_secret() };
                recording(organization, Stream::Endpoint(id), Fact::Endpoint(fact), 0)
            })
            .collect();
        for (index, organization) in self.organizations.iter().enumerate() {
            let channel = ChannelConfig {
                display_name: "a channel".to_owned(),
                destination: Destination {
                    kind: ChannelKind::Slack,
                    address: "https://hooks.example/".to_owned(),
                    secret: None,
                },
                subscriptions: vec![NotificationType::EndpointDegraded],
                endpoint_ids: Vec::new(),
            };
            let stream = Stream::Channel(channel_id(index));
            let fact = Fact::Channel(ChannelFact::Created(channel));
            operations.push(recording(organization, stream, fact, 0));
        }
        let disabled =
            EndpointFact::Disabled { reason: String::new(), cause: DisableCause::Requested };
        let stream = Stream::Endpoint(disabled_endpoint());
        operations.push(recording(&self.organizations[0], stream, Fact::Endpoint(disabled), 0));
        operations
    }

    /// All that happens to one delivery, and beside it. Operations of one delivery belong in one
    /// batch, so that a history that was interrupted ends between two deliveries.
    pub(crate) fn delivery(&self, number: u64) -> Vec<Operation> {
        let mut rng = Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        let mut one_in = |many: u64| rng.u64(0..many) == 0;
        let organization = match one_in(one_in::OTHER_ORGANIZATION) {
            true => 1 + number as usize % (ORGANIZATIONS - 1),
            false => 0,
        };
        let event_type = match one_in(one_in::RARE_TYPE) {
            true => RARE_TYPE,
            false => COMMON_TYPE,
        };
        let endpoint = match (organization, one_in(one_in::QUIET_ENDPOINT)) {
            (0, true) => quiet_endpoint(),
            _ => endpoint_id(organization, 2 + number % (ENDPOINTS - 2)),
        };
        let missed = one_in(one_in::MISSED) && organization == 0;
        let story = Story {
            number,
            organization: &self.organizations[organization],
            channel: channel_id(organization),
            endpoint,
            event_type,
        };
        let mut operations = vec![
            story.accepted(one_in(one_in::IDEMPOTENT)),
            story.scheduled(missed.then(disabled_endpoint)),
        ];
        if one_in(one_in::FAILED) {
            operations.push(story.attempt(0, Some(DeliveryState::Retrying)));
            operations.push(story.attempt(1, Some(DeliveryState::Failed)));
        } else if one_in(one_in::RETRYING) {
            operations.push(story.attempt(0, Some(DeliveryState::Retrying)));
        } else if one_in(one_in::CANCELLED) {
            let cancelled = DeliveryFact::Cancelled { reason: "no longer wanted".to_owned() };
            operations.push(story.recording(story.stream(), Fact::Delivery(cancelled)));
        } else if !one_in(one_in::SCHEDULED) {
            operations.push(story.attempt(0, None));
        }
        if one_in(one_in::ADMINISTERED) {
            operations.extend(story.administration());
        }
        if one_in(one_in::REPLAY) {
            operations.extend(story.replay());
        }
        operations
    }
}

/// One delivery.
struct Story<'a> {
    number: u64,
    organization: &'a OrganizationId,
    channel: ChannelId,
    endpoint: EndpointId,
    event_type: EventType,
}

impl Story<'_> {
    fn stream(&self) -> Stream {
        Stream::Delivery(delivery_id(self.number))
    }

    fn recording(&self, stream: Stream, fact: Fact) -> Operation {
        recording(self.organization, stream, fact, self.number)
    }

    fn accepted(&self, is_idempotent: bool) -> Operation {
        let content = self.number.to_be_bytes();
        let key = is_idempotent.then(|| IdempotencyKey::optional(self.number.to_string()));
        let accepted = EventAccepted {
            event_type: self.event_type,
            event_time: time_of(self.number),
            body: ContentDigest::of(&content),
            idempotency: key
                .and_then(Result::ok)
                .flatten()
                .map(|key| Idempotency { key, request_sha256: ContentDigest::of(&content).sha256 }),
            is_routed: false,
        };
        let stream = Stream::Event(event_id(self.number));
        self.recording(stream, Fact::EventAccepted(accepted))
    }

    fn scheduled(&self, missed: Option<EndpointId>) -> Operation {
        let scheduled = DeliveriesScheduled {
            event_type: self.event_type,
            event_time: Some(time_of(self.number)),
            deliveries: vec![(delivery_id(self.number), self.endpoint)],
            missed: missed.into_iter().collect(),
        };
        let stream = Stream::Event(event_id(self.number));
        self.recording(stream, Fact::DeliveriesScheduled(scheduled))
    }

    /// An attempt that succeeds, or that fails and leaves the delivery in a state.
    fn attempt(&self, earlier: u32, failed: Option<DeliveryState>) -> Operation {
        let details = AttemptDetails {
            id: AttemptId::new(Ulid::from_parts(
                millis_of(self.number),
                u128::from(self.number) << 8 | u128::from(earlier),
            )),
            event_id: event_id(self.number),
            event_type: self.event_type,
            endpoint_id: self.endpoint,
            number: earlier + 1,
            automatic_count: earlier + 1,
            trigger: Trigger::Automatic,
            start_time: time_of(self.number),
            duration: Duration::from_millis(5 + self.number % 7 * 40),
            status_code: Some(if failed.is_some() { 500 } else { 204 }),
            exchange: ContentDigest::of(b"exchange"),
            remark: String::new(),
        };
        let next = (failed == Some(DeliveryState::Retrying)).then(|| time_of(self.number + 10));
        let fact = match failed {
            None => DeliveryFact::AttemptSucceeded(details),
            Some(state) => DeliveryFact::AttemptFailed {
                details,
                error: "answered 500".to_owned(),
                next_attempt_time: next,
                steady_due_time: next,
                state,
                endpoint_pause: None,
            },
        };
        self.recording(self.stream(), Fact::Delivery(fact))
    }

    /// What people do, and are told: a test, a retry, a key, a notification.
    fn administration(&self) -> Vec<Operation> {
        let test = Ulid::from_parts(millis_of(self.number) + 1, u128::from(self.number));
        let requested = DeliveryFact::TestRequested {
            event_id: EventId::new(test),
            event_type: EventType::Test,
            endpoint_id: self.endpoint,
            event_time: time_of(self.number),
            body: ContentDigest::of(b"test"),
        };
        let key = NewKey {
            display_name: format!("key {}", self.number),
            role: Role::Viewer,
            token: TokenDigest(ContentDigest::of(&self.number.to_be_bytes()).sha256),
            expire_time: None,
            session: None,
        };
        let notification = NewNotification {
            channel_id: self.channel,
            notification_type: NotificationType::Test,
            endpoint_id: None,
            delivery_id: None,
            count: 1,
            since: time_of(self.number),
            reason: String::new(),
            due_time: time_of(self.number),
            summary: None,
            incident: None,
        };
        let sent = NotificationFact::Sent {
            attempt: NotificationAttempt {
                number: 1,
                start_time: time_of(self.number),
                duration: Duration::from_millis(50),
                status_code: Some(200),
                recipients: 0,
            },
            count: 1,
        };
        let raised = NotificationFact::Raised(Box::new(notification));
        let stream = Stream::Notification(NotificationId::new(ulid(self.number)));
        let cancelled = DeliveryFact::Cancelled { reason: "the test is over".to_owned() };
        vec![
            self.recording(Stream::Delivery(DeliveryId::new(test)), Fact::Delivery(requested)),
            self.recording(Stream::Delivery(DeliveryId::new(test)), Fact::Delivery(cancelled)),
            self.recording(
                Stream::Key(KeyId::new(ulid(self.number))),
                Fact::Key(KeyFact::Created(key)),
            ),
            self.recording(stream, Fact::Notification(raised)),
            self.recording(stream, Fact::Notification(sent)),
        ]
    }

    fn replay(&self) -> Vec<Operation> {
        let new = NewReplay {
            selection: replay_selection(self.endpoint, ReplayScope::Failed),
            deliveries_per_second: 100,
            matched_count: 1,
            may_match_more: false,
        };
        let stream = Stream::Replay(ReplayId::new(ulid(self.number)));
        let ended = ReplayFact::Ended { reason: String::new() };
        [ReplayFact::Requested(new), ended]
            .map(|fact| self.recording(stream, Fact::Replay(fact)))
            .into()
    }
}

/// A replay of everything in a scope.
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

fn recording(organization: &OrganizationId, stream: Stream, fact: Fact, number: u64) -> Operation {
    let expected = match &fact {
        Fact::Endpoint(EndpointFact::Created { .. })
        | Fact::Channel(ChannelFact::Created(_))
        | Fact::EventAccepted(_)
        | Fact::Delivery(DeliveryFact::TestRequested { .. })
        | Fact::Key(KeyFact::Created(_))
        | Fact::Notification(NotificationFact::Raised(_))
        | Fact::Replay(ReplayFact::Requested(_)) => ExpectedVersion::New,
        _ => ExpectedVersion::Any,
    };
    let metadata = Metadata {
        actor: publisher(number),
        actor_name: "somebody".to_owned(),
        ..Metadata::default()
    };
    let records = vec![NewRecord { stream, expected, fact }];
    Operation::recording(organization, records, metadata, time_of(number))
}

/// Who published delivery `number`'s event.
pub(crate) fn publisher(number: u64) -> String {
    format!("oidc:publisher-{}", number % PUBLISHERS)
}

/// When delivery `number` is scheduled.
pub(crate) fn time_of(number: u64) -> Timestamp {
    let since = INTERVAL.as_micros() as i64 * number as i64;
    Timestamp::from_microsecond(BEGIN + since).unwrap_or(Timestamp::MAX)
}

fn millis_of(number: u64) -> u64 {
    time_of(number).as_millisecond().unsigned_abs()
}

/// The id of what belongs to delivery `number`.
pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(millis_of(number), u128::from(number))
}

/// The number of the delivery that an id belongs to.
pub(crate) fn number_of(event: EventId) -> u64 {
    // Numbers are far below 2^64.
    event.ulid().random() as u64
}

pub(crate) fn event_id(number: u64) -> EventId {
    EventId::new(ulid(number))
}

pub(crate) fn delivery_id(number: u64) -> DeliveryId {
    DeliveryId::new(ulid(number))
}

fn endpoint_id(organization: usize, endpoint: u64) -> EndpointId {
    EndpointId::new(Ulid::from_parts(
        millis_of(0),
        u128::from(organization as u64 * 1_000 + endpoint),
    ))
}

pub(crate) fn channel_id(organization: usize) -> ChannelId {
    ChannelId::new(Ulid::from_parts(millis_of(0), organization as u128))
}

/// An endpoint of the main organization that is disabled from the beginning.
pub(crate) fn disabled_endpoint() -> EndpointId {
    endpoint_id(0, 0)
}

/// An endpoint of the main organization with few deliveries.
pub(crate) fn quiet_endpoint() -> EndpointId {
    endpoint_id(0, 1)
}

/// Endpoints of the main organization with many deliveries.
pub(crate) fn busy_endpoints() -> Vec<EndpointId> {
    vec![endpoint_id(0, 2), endpoint_id(0, 3)]
}

fn sealed_secret() -> SealedSecret {
    SealedSecret { key_id: "key".to_owned(), nonce: [7; 12], ciphertext: vec![7; 48] }
}

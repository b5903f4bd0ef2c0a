//! One fact of every kind, with every field filled.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::channel::{
    ChannelConfig, ChannelFact, ChannelKind, ChannelPatch, Destination,
};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::DisableCause;
use keeptrusts_webhooks_domain::endpoint_config::{EndpointConfig, EndpointPatch};
use keeptrusts_webhooks_domain::event::{ContentDigest, Idempotency, IdempotencyKey};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{
    DeliveriesScheduled, DeliveryFact, EndpointFact, EventAccepted, Fact, OperatorFact,
};
use keeptrusts_webhooks_domain::health::{AttemptTally, EndpointTally, HealthSummary, week_of};
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OperationId,
    ReplayId,
};
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, SessionOrigin, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::{
    NewNotification, NotificationAttempt, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_domain::replay::{
    NewReplay, ReplayBound, ReplayCounts, ReplayCursor, ReplayFact, ReplayScope, ReplaySelection,
    ReplayStep,
};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::trace::TraceContext;
use ulid::Ulid;

/// The stream that a fact belongs to.
pub(crate) fn stream_of(fact: &Fact) -> Stream {
    match fact {
        Fact::Endpoint(_) => Stream::Endpoint(EndpointId::MIN),
        Fact::EventAccepted(_) | Fact::DeliveriesScheduled(_) => Stream::Event(EventId::MIN),
        Fact::Delivery(_) => Stream::Delivery(DeliveryId::MIN),
        Fact::Key(_) => Stream::Key(KeyId::MIN),
        Fact::Replay(_) => Stream::Replay(ReplayId::MIN),
        Fact::Channel(_) => Stream::Channel(ChannelId::MIN),
        Fact::Notification(_) => Stream::Notification(NotificationId::MIN),
        Fact::Operator(_) => Stream::Operation(OperationId::MIN),
    }
}

/// One fact of every kind.
pub(crate) fn every_kind() -> Vec<Fact> {
    let endpoint = [
        EndpointFact::Created {
            config: EndpointConfig {
                display_name: "siem".to_owned(),
                url: "https://a.example/".to_owned(),
                description: "all".to_owned(),
                event_types: vec![EventType::PolicyBlock, EventType::KeyRotated],
                ..EndpointConfig::default()
            },
            secret: sealed(),
        },
        EndpointFact::Updated {
            patch: EndpointPatch {
                display_name: Some("new".to_owned()),
                url: Some("https://b.example/".to_owned()),
                description: Some(String::new()),
                event_types: Some(vec![EventType::UserInvited]),
                ..EndpointPatch::default()
            },
            secret: Some(sealed()),
            // As in records that were written before there was one.
            before: EndpointPatch::default(),
        },
        EndpointFact::SecretRotated { secret: sealed(), previous_expire_time: Some(time()) },
        EndpointFact::Enabled,
        EndpointFact::Disabled { reason: "noisy".to_owned(), cause: DisableCause::Requested },
        EndpointFact::Degraded { delivery_id: delivery_id(), reason: "failed".to_owned() },
        EndpointFact::Recovered { delivery_id: delivery_id() },
        EndpointFact::Deleted,
        EndpointFact::SecretRevealed,
    ];
    let event = [
        Fact::EventAccepted(EventAccepted {
            event_type: EventType::PolicyViolation,
            event_time: time(),
            body: digest(),
            idempotency: Some(Idempotency {
                key: IdempotencyKey::optional("k1".to_owned()).expect("valid").expect("not empty"),
                request_sha256: [0xcd; 32],
            }),
            is_routed: false,
        }),
        Fact::DeliveriesScheduled(DeliveriesScheduled {
            event_type: EventType::PolicyViolation,
            event_time: None,
            deliveries: vec![(delivery_id(), endpoint_id())],
            missed: vec![EndpointId::new(Ulid(5))],
        }),
        Fact::DeliveriesScheduled(DeliveriesScheduled {
            event_type: EventType::PolicyViolation,
            event_time: Some(time()),
            deliveries: vec![(delivery_id(), endpoint_id())],
            missed: vec![EndpointId::new(Ulid(5))],
        }),
    ];
    let delivery = [
        DeliveryFact::TestRequested {
            event_id: event_id(),
            event_type: EventType::Test,
            endpoint_id: endpoint_id(),
            event_time: time(),
            body: digest(),
        },
        DeliveryFact::RetryRequested,
        DeliveryFact::CancelRequested,
        DeliveryFact::AttemptSucceeded(attempt()),
        DeliveryFact::AttemptFailed {
            details: attempt(),
            error: "answered 500".to_owned(),
            next_attempt_time: Some(time()),
            // As in logs of before.
            steady_due_time: None,
            state: DeliveryState::Retrying,
            endpoint_pause: None,
        },
        DeliveryFact::Cancelled { reason: "deleted".to_owned() },
        DeliveryFact::Replayed {
            replay_id: replay_id(),
            event_id: event_id(),
            event_type: EventType::PolicyViolation,
            event_time: None,
            endpoint_id: endpoint_id(),
            trace: trace(None),
        },
        DeliveryFact::Replayed {
            replay_id: replay_id(),
            event_id: event_id(),
            event_type: EventType::PolicyViolation,
            event_time: Some(time()),
            endpoint_id: endpoint_id(),
            trace: trace(Some("rojo=1")),
        },
        DeliveryFact::Resumed { replay_id: replay_id(), endpoint_id: endpoint_id() },
        DeliveryFact::Expired {
            endpoint_id: endpoint_id(),
            event_type: EventType::PolicyViolation,
            is_test: false,
            reason: "too late".to_owned(),
        },
    ];
    let key = [
        KeyFact::Created(NewKey {
            display_name: "ci".to_owned(),
            role: Role::Publisher,
            token: TokenDigest([0xef; 32]),
            expire_time: Some(time()),
            session: Some(SessionOrigin { parent: Some(KeyId::new(Ulid(6))) }),
        }),
        KeyFact::Revoked,
        KeyFact::SessionEnded,
    ];
    let operator = [
        OperatorFact::OrganizationErased,
        OperatorFact::MasterKeyRotated { previous: "mk_1".to_owned(), current: "mk_2".to_owned() },
    ];
    let bound = |position| ReplayBound { event_id: event_id(), position: Position(position) };
    let replay = [
        ReplayFact::Requested(NewReplay {
            selection: ReplaySelection {
                endpoint_id: endpoint_id(),
                scope: ReplayScope::All,
                start_time: Some(time()),
                end_time: Some(time()),
                start_event: Some(bound(7)),
                end_event: Some(bound(300)),
                event_types: vec![EventType::PolicyBlock, EventType::KeyRotated],
                include_delivered: true,
            },
            deliveries_per_second: 100,
            matched_count: 12,
            may_match_more: false,
        }),
        ReplayFact::Advanced(ReplayStep {
            cursor: ReplayCursor::Event(event_id()),
            counts: ReplayCounts { scheduled: 1, resumed: 2, skipped: 3, expired: 4 },
        }),
        ReplayFact::Ended { reason: "deleted".to_owned() },
        ReplayFact::Cancelled { endpoint_id: endpoint_id() },
    ];
    let replay = replay.into_iter().map(Fact::Replay);
    let channel = channel_facts().into_iter().map(Fact::Channel);
    let notification = notification_facts().into_iter().map(Fact::Notification);
    let endpoint = endpoint.into_iter().map(Fact::Endpoint);
    let delivery = delivery.into_iter().map(Fact::Delivery);
    let key = key.into_iter().map(Fact::Key);
    let operator = operator.into_iter().map(Fact::Operator);
    endpoint
        .chain(event)
        .chain(delivery)
        .chain(key)
        .chain(operator)
        .chain(replay)
        .chain(channel)
        .chain(notification)
        .collect()
}

fn channel_facts() -> [ChannelFact; 5] {
    let patch = ChannelPatch {
        display_name: Some("new".to_owned()),
        destination: Some(destination(ChannelKind::Email, None)),
        subscriptions: Some(vec![NotificationType::WeeklySummary]),
        endpoint_ids: Some(Vec::new()),
    };
    let before = ChannelPatch {
        display_name: Some("old".to_owned()),
        destination: Some(destination(ChannelKind::Teams, None)),
        subscriptions: Some(vec![NotificationType::EndpointDisabled]),
        endpoint_ids: Some(vec![endpoint_id()]),
    };
    [
        ChannelFact::Created(ChannelConfig {
            display_name: "on call".to_owned(),
            destination: destination(ChannelKind::PagerDuty, Some(sealed())),
            subscriptions: vec![
                NotificationType::DeliveryExhausted,
                NotificationType::EndpointDegraded,
                NotificationType::EndpointRecovered,
            ],
            endpoint_ids: vec![endpoint_id()],
        }),
        ChannelFact::Updated { patch, before },
        ChannelFact::Deleted,
        ChannelFact::Failing { reason: "no route".to_owned() },
        ChannelFact::Recovered,
    ]
}

fn destination(kind: ChannelKind, secret: Option<SealedSecret>) -> Destination {
    Destination { kind, address: "https://a.example".to_owned(), secret }
}

fn notification_facts() -> [NotificationFact; 9] {
    let attempt = NotificationAttempt {
        number: 2,
        start_time: time(),
        duration: Duration::from_micros(1_250_001),
        status_code: Some(429),
        recipients: 0,
    };
    let mail = NotificationAttempt { recipients: 20, ..attempt.clone() };
    let incident = |action| {
        NotificationFact::Raised(Box::new(NewNotification {
            channel_id: ChannelId::new(Ulid(7)),
            notification_type: NotificationType::IncidentResolved,
            endpoint_id: Some(endpoint_id()),
            delivery_id: None,
            count: 1,
            since: time(),
            reason: String::new(),
            due_time: time(),
            summary: None,
            incident: Some(action),
        }))
    };
    let elsewhere = destination(ChannelKind::PagerDuty, Some(sealed()));
    [
        NotificationFact::Raised(Box::new(NewNotification {
            channel_id: ChannelId::new(Ulid(7)),
            notification_type: NotificationType::WeeklySummary,
            endpoint_id: Some(endpoint_id()),
            delivery_id: Some(delivery_id()),
            count: 3,
            since: time(),
            reason: "answered 500".to_owned(),
            due_time: time(),
            summary: Some(HealthSummary {
                week: week_of(time()),
                total: AttemptTally { delivered: 1_000, retrying: 30, failed: 2 },
                endpoint_count: 4,
                worst: vec![EndpointTally {
                    endpoint_id: endpoint_id(),
                    tally: AttemptTally { delivered: 5, retrying: 20, failed: 2 },
                    median_duration: Some(Duration::from_millis(5)),
                }],
            }),
            incident: None,
        })),
        NotificationFact::Counted { count: 999, delivery_id: Some(delivery_id()) },
        NotificationFact::Sent { attempt: attempt.clone(), count: 1_000 },
        NotificationFact::Failed {
            attempt,
            error: "answered 429".to_owned(),
            next_attempt_time: Some(time()),
        },
        NotificationFact::Sent { attempt: mail, count: 1 },
        incident(IncidentAction::Open),
        incident(IncidentAction::Close),
        incident(IncidentAction::CloseAt(Box::new(elsewhere))),
        NotificationFact::Withdrawn { reason: "the endpoint is active again".to_owned() },
    ]
}

pub(crate) fn time() -> Timestamp {
    "2026-04-23T10:30:00.123456Z".parse().expect("a timestamp")
}

fn delivery_id() -> DeliveryId {
    DeliveryId::new(Ulid(1))
}

fn endpoint_id() -> EndpointId {
    EndpointId::new(Ulid(2))
}

fn event_id() -> EventId {
    EventId::new(Ulid(3))
}

fn replay_id() -> ReplayId {
    ReplayId::new(Ulid(8))
}

fn digest() -> ContentDigest {
    ContentDigest { sha256: [0xab; 32], size: 1024 }
}

fn sealed() -> SealedSecret {
    SealedSecret { key_id: "key".to_owned(), nonce: [7; 12], ciphertext: vec![9; 4] }
}

pub(crate) fn attempt() -> AttemptDetails {
    AttemptDetails {
        id: AttemptId::new(Ulid(4)),
        event_id: event_id(),
        event_type: EventType::PolicyViolation,
        endpoint_id: endpoint_id(),
        number: 3,
        automatic_count: 2,
        trigger: Trigger::Manual,
        start_time: time(),
        duration: Duration::from_micros(1_250_001),
        status_code: Some(500),
        exchange: digest(),
        remark: String::new(),
    }
}

fn trace(state: Option<&str>) -> Option<TraceContext> {
    let trace: TraceContext =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a traceparent");
    Some(trace.with_state(state.map(|text| text.parse().expect("a tracestate"))))
}

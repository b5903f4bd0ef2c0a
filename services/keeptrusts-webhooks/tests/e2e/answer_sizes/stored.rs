//! Rows with texts of a column's full length, written directly into the database: through the API
//! it would take a receiver, a mail server and an hour to create as many.

use std::collections::HashSet;
use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::Role;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, Trigger};
use keeptrusts_webhooks_domain::channel::{ChannelConfig, ChannelFact, ChannelKind, Destination};
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveriesScheduled, DeliveryFact, EventAccepted, Fact};
use keeptrusts_webhooks_domain::ids::{
    AttemptId, ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, ReplayId,
};
use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_domain::notification::{
    NewNotification, NotificationAttempt, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_domain::replay::{NewReplay, ReplayFact, ReplayScope, ReplaySelection};
use keeptrusts_webhooks_store::sqlite::{SqliteOptions, SqliteStore};
use keeptrusts_webhooks_store::{
    CheckpointAdvance, ExpectedVersion, NewRecord, Operation, Store, new_ulid, system_clock,
};

use crate::platform::Database;

/// Things of each kind. With [`TEXT_BYTES`] each they exceed one response.
pub(crate) const ROWS: usize = 600;
const TEXT_BYTES: usize = 8 * 1024;
const DURATION: Duration = Duration::from_millis(5);
const EVENT_TYPE: EventType = EventType::PolicyViolation;

/// Fills a new SQLite database with [`ROWS`] events, deliveries, attempts, replays, keys, channels
/// and notifications of an organization.
pub(crate) async fn fill(database: &Database, organization: &str) {
    let file = database.folder().join("webhooks.db");
    let store = SqliteStore::open(&file, SqliteOptions::default()).await.expect("it is new");
    let organization = organization.parse().expect("an id");
    let mut at = Position::START;
    for row in 0..ROWS {
        let facts = [event_with_delivery(), replay(), channel_with_notification(), key(row)];
        let mut batch = Vec::new();
        let mut begun = HashSet::new();
        for (stream, fact) in facts.into_iter().flatten() {
            let expected = match fact {
                // The event's first record has created the delivery's stream.
                Fact::Delivery(_) => ExpectedVersion::Any,
                _ if begun.insert(stream) => ExpectedVersion::New,
                _ => ExpectedVersion::Any,
            };
            let metadata = Metadata { actor: text(), actor_name: text(), ..Metadata::default() };
            let record = NewRecord { stream, expected, fact };
            let operation = Operation::recording(&organization, vec![record], metadata, now());
            // The shard's owner has nothing left to do for it.
            let step = CheckpointAdvance { from: at, to: Position(at.0 + 1) };
            at = step.to;
            batch.push(Operation { checkpoint: Some(step), ..operation });
        }
        let appended = store.append(Shard(0), &batch).await.expect("it can be written");
        assert!(appended.results.iter().all(Result::is_ok), "{:?}", appended.results);
    }
    store.close().await;
}

fn now() -> Timestamp {
    system_clock()()
}

fn text() -> String {
    "t".repeat(TEXT_BYTES)
}

/// An event, a delivery of it, its one attempt, and its end.
fn event_with_delivery() -> Vec<(Stream, Fact)> {
    let (event_id, delivery_id) = (EventId::new(new_ulid(now())), DeliveryId::new(new_ulid(now())));
    let endpoint_id = EndpointId::new(new_ulid(now()));
    let accepted = EventAccepted {
        event_type: EVENT_TYPE,
        event_time: now(),
        body: ContentDigest::of(b"{}"),
        idempotency: None,
        is_routed: false,
    };
    let scheduled = DeliveriesScheduled {
        event_type: EVENT_TYPE,
        event_time: Some(accepted.event_time),
        deliveries: vec![(delivery_id, endpoint_id)],
        missed: Vec::new(),
    };
    let details = AttemptDetails {
        id: AttemptId::new(new_ulid(now())),
        event_id,
        event_type: EVENT_TYPE,
        endpoint_id,
        number: 1,
        automatic_count: 1,
        trigger: Trigger::Automatic,
        start_time: now(),
        duration: DURATION,
        status_code: Some(500),
        exchange: ContentDigest::of(b""),
        remark: String::new(),
    };
    let failed = DeliveryFact::AttemptFailed {
        details,
        error: text(),
        next_attempt_time: Some(now()),
        steady_due_time: None,
        state: DeliveryState::Retrying,
        endpoint_pause: None,
    };
    let (event, delivery) = (Stream::Event(event_id), Stream::Delivery(delivery_id));
    vec![
        (event, Fact::EventAccepted(accepted)),
        (event, Fact::DeliveriesScheduled(scheduled)),
        (delivery, Fact::Delivery(failed)),
        (delivery, Fact::Delivery(DeliveryFact::Cancelled { reason: text() })),
    ]
}

/// A replay that has ended.
fn replay() -> Vec<(Stream, Fact)> {
    let selection = ReplaySelection {
        endpoint_id: EndpointId::new(new_ulid(now())),
        scope: ReplayScope::All,
        start_time: None,
        end_time: None,
        start_event: None,
        end_event: None,
        event_types: Vec::new(),
        include_delivered: false,
    };
    let new = NewReplay {
        selection,
        deliveries_per_second: 100,
        matched_count: 1,
        may_match_more: false,
    };
    let stream = Stream::Replay(ReplayId::new(new_ulid(now())));
    vec![
        (stream, Fact::Replay(ReplayFact::Requested(new))),
        (stream, Fact::Replay(ReplayFact::Ended { reason: text() })),
    ]
}

/// A channel, and a test of it that has failed.
fn channel_with_notification() -> Vec<(Stream, Fact)> {
    let channel_id = ChannelId::new(new_ulid(now()));
    let channel = ChannelConfig {
        display_name: text(),
        destination: Destination { kind: ChannelKind::Email, address: text(), secret: None },
        subscriptions: vec![NotificationType::EndpointDegraded],
        endpoint_ids: Vec::new(),
    };
    let new = NewNotification {
        channel_id,
        notification_type: NotificationType::Test,
        endpoint_id: None,
        delivery_id: None,
        count: 1,
        since: now(),
        reason: text(),
        due_time: now(),
        summary: None,
        incident: None,
    };
    let attempt = NotificationAttempt {
        number: 1,
        start_time: now(),
        duration: DURATION,
        status_code: None,
        recipients: 1,
    };
    let failed = NotificationFact::Failed { attempt, error: text(), next_attempt_time: None };
    let notification = Stream::Notification(NotificationId::new(new_ulid(now())));
    vec![
        (Stream::Channel(channel_id), Fact::Channel(ChannelFact::Created(channel))),
        (notification, Fact::Notification(NotificationFact::Raised(Box::new(new)))),
        (notification, Fact::Notification(failed)),
    ]
}

fn key(row: usize) -> Vec<(Stream, Fact)> {
    let new = NewKey {
        display_name: text(),
        role: Role::Viewer,
        token: TokenDigest(ContentDigest::of(&row.to_be_bytes()).sha256),
        expire_time: None,
        session: None,
    };
    vec![(Stream::Key(KeyId::new(new_ulid(now()))), Fact::Key(KeyFact::Created(new)))]
}

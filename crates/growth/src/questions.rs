//! What the API, the console and the dispatcher ask of the tables.

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::delivery::EffectiveDeliveryState;
use keeptrusts_webhooks_domain::health::week_of;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, ReplayId,
};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::notification::NotificationState;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplayState};
use keeptrusts_webhooks_store::queries::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Interval, KeyFilter,
    NotificationFilter, ReplayFilter, StateFilter,
};
use keeptrusts_webhooks_store::{DueKey, StoreError};
use ulid::Ulid;

use crate::database::Database;
use crate::history::{
    ABSENT_TYPE, COMMON_TYPE, RARE_TYPE, SHARD, busy_endpoints, channel_id, delivery_id,
    disabled_endpoint, event_id, publisher, quiet_endpoint, replay_selection, time_of, ulid,
};

/// The rows of a page, as the console asks for them; handlers ask for one more.
const PAGE: usize = 51;
/// The rows that the dispatcher examines in a step of a replay.
const REPLAY_ROWS: usize = 500;

/// A question, apart from where its page begins.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Deliveries(DeliveryFilter),
    Events(EventFilter),
    Attempts(AttemptFilter),
    Audit(AuditFilter),
    Replays(ReplayFilter),
    Notifications(NotificationFilter),
    Keys(KeyFilter),
    Replay(ReplayScope, EndpointId),
    Due(EndpointId),
    Once(Once),
}

/// A question without pages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Once {
    Delivery,
    Event,
    AttemptsOfDelivery,
    Endpoints,
    DisabledEndpoints,
    FailingEndpoints,
    WaitingEndpoints,
    CountWaiting,
    EndpointStatistics,
    OrganizationStatistics,
    RunningReplays,
    WaitingNotifications,
    WaitingChannels,
    Exhaustions,
    OpenIncidents,
    MailSent,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    First,
    /// In the middle of the log.
    Deep,
}

impl Question {
    /// The pages that it has.
    pub(crate) fn pages(&self) -> &'static [Page] {
        match self {
            Question::Once(_) => &[Page::First],
            _ => &[Page::First, Page::Deep],
        }
    }
}

/// Every question with its name, about a log of so many deliveries.
pub(crate) fn questions(size: u64) -> Vec<(&'static str, Question)> {
    let mut all = Vec::new();
    deliveries(&mut all, size);
    events(&mut all, size);
    attempts(&mut all, size);
    others(&mut all, size);
    all
}

/// An hour in the middle of the log.
fn an_hour(size: u64) -> Interval {
    Interval { start: Some(time_of(size / 2)), end: Some(time_of(size / 2 + 600)) }
}

/// What is older than all of the log.
fn before_the_log() -> Interval {
    Interval { start: None, end: Some(time_of(1)) }
}

fn deliveries(all: &mut Vec<(&'static str, Question)>, size: u64) {
    use EffectiveDeliveryState::{Cancelled, Delivered, Failed, Paused, Retrying, Scheduled};
    let mut add = |name, filter| all.push((name, Question::Deliveries(filter)));
    let none = DeliveryFilter::default;
    add("deliveries", none());
    add(
        "deliveries of a busy endpoint",
        DeliveryFilter { endpoint_ids: vec![busy_endpoints()[0]].into(), ..none() },
    );
    add(
        "deliveries of a quiet endpoint",
        DeliveryFilter { endpoint_ids: vec![quiet_endpoint()].into(), ..none() },
    );
    add(
        "deliveries of two endpoints",
        DeliveryFilter { endpoint_ids: busy_endpoints().into(), ..none() },
    );
    add("deliveries of an event", DeliveryFilter { event_id: Some(event_id(size / 2)), ..none() });
    for (name, event_type) in [
        ("deliveries of the common type", COMMON_TYPE),
        ("deliveries of a rare type", RARE_TYPE),
        ("deliveries of an absent type", ABSENT_TYPE),
    ] {
        add(name, DeliveryFilter { event_types: vec![event_type].into(), ..none() });
    }
    for (name, state) in [
        ("deliveries delivered", Delivered),
        ("deliveries failed", Failed),
        ("deliveries retrying", Retrying),
        ("deliveries scheduled", Scheduled),
        ("deliveries paused", Paused),
        ("deliveries cancelled", Cancelled),
    ] {
        let states = StateFilter::of_deliveries(&[state], [disabled_endpoint()]);
        add(name, DeliveryFilter { states, ..none() });
    }
    let failed = || StateFilter::of_deliveries(&[Failed], [disabled_endpoint()]);
    add(
        "deliveries failed of a busy endpoint",
        DeliveryFilter {
            endpoint_ids: vec![busy_endpoints()[0]].into(),
            states: failed(),
            ..none()
        },
    );
    add("deliveries of an hour", DeliveryFilter { scheduled: an_hour(size), ..none() });
    add("deliveries before the log", DeliveryFilter { scheduled: before_the_log(), ..none() });
}

fn events(all: &mut Vec<(&'static str, Question)>, size: u64) {
    let mut add = |name, filter| all.push((name, Question::Events(filter)));
    let none = EventFilter::default;
    add("events", none());
    add("events of a rare type", EventFilter { event_types: vec![RARE_TYPE].into(), ..none() });
    add(
        "events of an absent type",
        EventFilter { event_types: vec![ABSENT_TYPE].into(), ..none() },
    );
    add("events of a publisher", EventFilter { publisher: Some(publisher(1)), ..none() });
    add("events of nobody", EventFilter { publisher: Some("nobody".to_owned()), ..none() });
    add("events of an hour", EventFilter { accepted: an_hour(size), ..none() });
    add("events before the log", EventFilter { accepted: before_the_log(), ..none() });
}

fn attempts(all: &mut Vec<(&'static str, Question)>, size: u64) {
    let mut add = |name, filter| all.push((name, Question::Attempts(filter)));
    let none = AttemptFilter::default;
    add("attempts", none());
    add(
        "attempts of a busy endpoint",
        AttemptFilter { endpoint_ids: vec![busy_endpoints()[0]].into(), ..none() },
    );
    add(
        "attempts of two endpoints",
        AttemptFilter { endpoint_ids: busy_endpoints().into(), ..none() },
    );
    add(
        "attempts of a delivery",
        AttemptFilter { delivery_id: Some(delivery_id(size / 2)), ..none() },
    );
    add("attempts of a rare type", AttemptFilter { event_types: vec![RARE_TYPE].into(), ..none() });
    for (name, outcome) in [
        ("attempts delivered", AttemptOutcome::Delivered),
        ("attempts retrying", AttemptOutcome::Retrying),
        ("attempts failed", AttemptOutcome::Failed),
    ] {
        add(name, AttemptFilter { outcomes: vec![outcome].into(), ..none() });
    }
    add("attempts of an hour", AttemptFilter { begun: an_hour(size), ..none() });
    add("attempts before the log", AttemptFilter { begun: before_the_log(), ..none() });
}

fn others(all: &mut Vec<(&'static str, Question)>, size: u64) {
    let mut add = |name, question| all.push((name, question));
    let none = AuditFilter::default;
    add("audit trail", Question::Audit(none()));
    for (name, filter) in [
        (
            "audit trail, an action",
            AuditFilter { actions: vec![AuditAction::ALL[0]].into(), ..none() },
        ),
        ("audit trail, an actor", AuditFilter { actor: Some(publisher(1)), ..none() }),
        ("audit trail, nobody", AuditFilter { actor: Some("nobody".to_owned()), ..none() }),
        (
            "audit trail, an endpoint",
            AuditFilter { endpoint_ids: vec![busy_endpoints()[0]].into(), ..none() },
        ),
        ("audit trail, an hour", AuditFilter { recorded: an_hour(size), ..none() }),
    ] {
        add(name, Question::Audit(filter));
    }
    add("replays", Question::Replays(ReplayFilter::default()));
    let endpoint_ids = vec![busy_endpoints()[0]].into();
    add(
        "replays of an endpoint",
        Question::Replays(ReplayFilter { endpoint_ids, ..ReplayFilter::default() }),
    );
    let states = vec![ReplayState::Running].into();
    add("replays running", Question::Replays(ReplayFilter { states, ..ReplayFilter::default() }));
    add("notifications", Question::Notifications(NotificationFilter::default()));
    let channel_ids = vec![channel_id(0)].into();
    add(
        "notifications of a channel",
        Question::Notifications(NotificationFilter {
            channel_ids,
            ..NotificationFilter::default()
        }),
    );
    let states = vec![NotificationState::Failed].into();
    add(
        "notifications failed",
        Question::Notifications(NotificationFilter { states, ..NotificationFilter::default() }),
    );
    add("keys", Question::Keys(KeyFilter { sessions: None }));
    add("keys without sessions", Question::Keys(KeyFilter { sessions: Some(false) }));
    add("sessions", Question::Keys(KeyFilter { sessions: Some(true) }));
    add("replay of all", Question::Replay(ReplayScope::All, busy_endpoints()[0]));
    add("replay of failed", Question::Replay(ReplayScope::Failed, busy_endpoints()[0]));
    add("replay of missed", Question::Replay(ReplayScope::Missed, disabled_endpoint()));
    add("due of a busy endpoint", Question::Due(busy_endpoints()[0]));
    for (name, once) in [
        ("a delivery", Once::Delivery),
        ("an event", Once::Event),
        ("attempts of one delivery", Once::AttemptsOfDelivery),
        ("endpoints", Once::Endpoints),
        ("disabled endpoints", Once::DisabledEndpoints),
        ("failing endpoints", Once::FailingEndpoints),
        ("waiting endpoints", Once::WaitingEndpoints),
        ("count of waiting deliveries", Once::CountWaiting),
        ("statistics of an endpoint", Once::EndpointStatistics),
        ("statistics of an organization", Once::OrganizationStatistics),
        ("running replays", Once::RunningReplays),
        ("waiting notifications", Once::WaitingNotifications),
        ("waiting channels", Once::WaitingChannels),
        ("exhaustions", Once::Exhaustions),
        ("open incidents", Once::OpenIncidents),
        ("mail sent", Once::MailSent),
    ] {
        add(name, Question::Once(once));
    }
}

/// Asks, and returns how many rows the answer has.
pub(crate) async fn ask(
    database: &Database,
    question: &Question,
    page: Page,
    size: u64,
) -> Result<usize, StoreError> {
    let store = &*database.store;
    let organization = database.history.main_organization();
    let before = match page {
        Page::First => Ulid(u128::MAX),
        Page::Deep => ulid(size / 2),
    };
    Ok(match question {
        Question::Deliveries(filter) => {
            let before = DeliveryId::new(before);
            store.list_deliveries(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Events(filter) => {
            let before = EventId::new(before);
            store.list_events(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Attempts(filter) => {
            let before = AttemptId::new(before);
            store.list_attempts(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Audit(filter) => {
            let last = store.shard_state(SHARD).await?.last_position;
            let before = match page {
                Page::First => last.next(),
                Page::Deep => Position(last.0 / 2),
            };
            store.list_audit_records(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Replays(filter) => {
            let before = ReplayId::new(before);
            store.list_replays(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Notifications(filter) => {
            let before = NotificationId::new(before);
            store.list_notifications(SHARD, organization, filter, before, PAGE).await?.rows.len()
        }
        Question::Keys(filter) => {
            store.list_keys(organization, *filter, KeyId::new(before), PAGE).await?.len()
        }
        Question::Replay(scope, endpoint) => {
            let last = store.shard_state(SHARD).await?.last_position;
            let after = match (page, scope) {
                (Page::First, _) => ReplayCursor::start(*scope),
                (Page::Deep, ReplayScope::Missed) => ReplayCursor::Missed(Position(last.0 / 2)),
                (Page::Deep, ReplayScope::Failed) => ReplayCursor::Attempt(AttemptId::new(before)),
                (Page::Deep, ReplayScope::All) => ReplayCursor::Event(EventId::new(before)),
            };
            let selection = replay_selection(*endpoint, *scope);
            let page = store.replay_candidates(
                SHARD,
                organization,
                &selection,
                last.next(),
                after,
                REPLAY_ROWS,
            );
            page.await?.candidates.len()
        }
        Question::Due(endpoint) => {
            let after = match page {
                Page::First => DueKey::MIN,
                Page::Deep => DueKey { due_time: time_of(size / 2), delivery_id: delivery_id(0) },
            };
            store.due_deliveries(SHARD, *endpoint, after, PAGE).await?.deliveries.len()
        }
        Question::Once(once) => ask_once(database, *once, size).await?,
    })
}

async fn ask_once(database: &Database, once: Once, size: u64) -> Result<usize, StoreError> {
    let store = &*database.store;
    let organization = database.history.main_organization();
    let now = time_of(size);
    let week_ago = now - week();
    Ok(match once {
        Once::Delivery => {
            store.deliveries(SHARD, organization, &[delivery_id(size / 2)]).await?.len()
        }
        Once::Event => {
            usize::from(store.event(SHARD, organization, event_id(size / 2)).await?.is_some())
        }
        Once::AttemptsOfDelivery => {
            let ids = [delivery_id(size / 2)];
            store.attempts_of_deliveries(SHARD, organization, &ids, PAGE).await?.len()
        }
        Once::Endpoints => {
            let filter = EndpointFilter::default();
            store.list_endpoints(SHARD, organization, &filter, EndpointId::MAX, PAGE).await?.len()
        }
        Once::DisabledEndpoints => store.disabled_endpoints(SHARD, organization, None).await?.len(),
        Once::FailingEndpoints => store.failing_endpoints(SHARD, Some(organization)).await?.len(),
        Once::WaitingEndpoints => store.waiting_endpoints(SHARD).await?.endpoints.len(),
        Once::CountWaiting => {
            store.count_waiting(SHARD).await?;
            1
        }
        Once::EndpointStatistics => {
            store.attempt_counts(SHARD, busy_endpoints()[0], week_ago).await?.len()
        }
        Once::OrganizationStatistics => {
            store.attempt_sums(SHARD, organization, week_of(week_ago)).await?.len()
        }
        Once::RunningReplays => {
            store.running_replays(SHARD, None, ReplayId::MIN, PAGE).await?.len()
        }
        Once::WaitingNotifications => {
            store.waiting_notifications(SHARD, channel_id(0), PAGE).await?.len()
        }
        Once::WaitingChannels => store.waiting_channels(SHARD).await?.len(),
        Once::Exhaustions => store.exhaustion_notifications(SHARD, week_ago).await?.len(),
        Once::OpenIncidents => store.open_incidents(SHARD).await?.len(),
        Once::MailSent => store.mail_sent(SHARD, organization, week_ago).await?.len(),
    })
}

/// The longest time that statistics are about.
fn week() -> std::time::Duration {
    std::time::Duration::from_secs(7 * 24 * 60 * 60)
}

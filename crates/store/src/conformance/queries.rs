//! What the tables answer: lists in order and in pages, filters, and nobody else's rows.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Outcome;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointStatus;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{
    AttemptId, DeliveryId, EndpointId, EventId, OrganizationId,
};
use keeptrusts_webhooks_domain::log::Position;

use super::Fixture;
use super::given::*;
use crate::operation::Expected;
use crate::query::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, Interval};
use crate::store::{DueKey, Store};

const ALL: usize = 1_000;

async fn endpoints(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: EndpointFilter,
    before: EndpointId,
    limit: usize,
) -> Vec<EndpointId> {
    let rows = store.list_endpoints(SHARD, whose, &filter, before, limit).await;
    rows.expect("endpoints are listed").into_iter().map(|row| row.id).collect()
}

async fn events(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: EventFilter,
    before: EventId,
    limit: usize,
) -> Vec<EventId> {
    let rows = store.list_events(SHARD, whose, &filter, before, limit).await;
    rows.expect("events are listed").into_iter().map(|row| row.id).collect()
}

async fn deliveries(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: DeliveryFilter,
    before: DeliveryId,
    limit: usize,
) -> Vec<DeliveryId> {
    let rows = store.list_deliveries(SHARD, whose, &filter, before, limit).await;
    rows.expect("deliveries are listed").into_iter().map(|row| row.id).collect()
}

async fn attempts(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: AttemptFilter,
    before: AttemptId,
    limit: usize,
) -> Vec<AttemptId> {
    let rows = store.list_attempts(SHARD, whose, &filter, before, limit).await;
    rows.expect("attempts are listed").into_iter().map(|row| row.made.id).collect()
}

/// What came of one event of [`populate`].
struct Story {
    event: EventId,
    event_type: EventType,
    endpoint: EndpointId,
    delivery: DeliveryId,
    state: DeliveryState,
    /// Oldest first.
    attempts: Vec<(AttemptId, Outcome)>,
    recorded_at: Timestamp,
}

/// Twelve events of two types to two endpoints, in all states that attempts lead to, each
/// recorded at a time of its own; and as much of another organization.
async fn populate(fixture: &Fixture) -> Vec<Story> {
    let mut stories = Vec::new();
    for whose in [organization(), other_organization()] {
        let both = [endpoint_id(), endpoint_id()];
        let create = both.map(|id| create_endpoint(id).of(whose.clone()));
        fixture.append_all(&create).await;
        for number in 0..12 {
            let story = tell(fixture, &whose, both[number % 2], number).await;
            if whose == organization() {
                stories.push(story);
            }
        }
    }
    stories
}

async fn tell(
    fixture: &Fixture,
    whose: &OrganizationId,
    endpoint: EndpointId,
    number: usize,
) -> Story {
    let (event, delivery) = (event_id(), delivery_id());
    let event_type = [EventType::PolicyBlock, EventType::KeyRotated][number / 2 % 2];
    fixture.advance(Duration::from_millis(2)).await;
    let routed = [
        publish_type(event, event_type).of(whose.clone()),
        schedule_type(event, event_type, &[(delivery, endpoint)], &[]).of(whose.clone()),
    ];
    let recorded_at = fixture.append_all(&routed).await[0].recorded_at;
    let (state, outcomes) = match number % 3 {
        0 => (DeliveryState::Scheduled, vec![]),
        1 => (DeliveryState::Retrying, vec![Outcome::Retrying]),
        _ => (DeliveryState::Delivered, vec![Outcome::Retrying, Outcome::Delivered]),
    };
    let mut attempts = Vec::new();
    for outcome in outcomes {
        let rows = fixture.store().deliveries(SHARD, whose, &[delivery]).await.expect("reads");
        let operation = match outcome {
            Outcome::Delivered => succeed(&rows[0], recorded_at),
            _ => fail(&rows[0], recorded_at),
        };
        let records = fixture.append(operation.of(whose.clone())).await;
        let keeptrusts_webhooks_domain::fact::Fact::Delivery(fact) = &records[0].fact else {
            panic!("an attempt's fact is a delivery's")
        };
        attempts.push((fact.attempt().expect("an attempt").0.id, outcome));
    }
    Story { event, event_type, endpoint, delivery, state, attempts, recorded_at }
}

/// What of each story is listed, newest first.
fn listed<T>(stories: &[Story], of: impl Fn(&Story) -> Vec<T>) -> Vec<T> {
    let mut found: Vec<_> = stories.iter().flat_map(of).collect();
    found.reverse();
    found
}

pub(crate) async fn lists_come_newest_first_page_by_page_without_loss_or_repetition(
    fixture: Fixture,
) {
    let stories = populate(&fixture).await;
    let (store, us) = (fixture.other_store(), organization());

    // `$list` is called with each page's last id until a page is empty.
    macro_rules! pages {
        ($list:ident, $filter:ty, $first:expr, $limit:expr) => {{
            let (mut seen, mut before) = (Vec::new(), $first);
            loop {
                let page = $list(store, &us, <$filter>::default(), before, $limit).await;
                assert!(page.len() <= $limit);
                let Some(last) = page.last() else { break seen };
                before = *last;
                seen.extend(page);
            }
        }};
    }
    let mut both: Vec<_> = stories.iter().map(|story| story.endpoint).collect();
    both.sort_unstable_by(|one, other| other.cmp(one));
    both.dedup();
    for limit in [1, 5, 12, ALL] {
        assert_eq!(pages!(endpoints, EndpointFilter, EndpointId::MAX, limit), both);
        assert_eq!(
            pages!(events, EventFilter, EventId::MAX, limit),
            listed(&stories, |story| vec![story.event])
        );
        assert_eq!(
            pages!(deliveries, DeliveryFilter, DeliveryId::MAX, limit),
            listed(&stories, |story| vec![story.delivery])
        );
        assert_eq!(
            pages!(attempts, AttemptFilter, AttemptId::MAX, limit),
            listed(&stories, |story| story.attempts.iter().map(|(id, _)| *id).collect())
        );
    }
}

/// From the fourth story's time on, and before the tenth's.
fn middle(stories: &[Story]) -> Interval {
    Interval { start: Some(stories[3].recorded_at), end: Some(stories[9].recorded_at) }
}

pub(crate) async fn events_are_filtered_by_type_and_time(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let interval = middle(&stories);
    for event_type in [None, Some(EventType::KeyRotated), Some(EventType::ExportFailed)] {
        for accepted in [
            Interval::default(),
            interval,
            Interval { end: None, ..interval },
            Interval { start: None, ..interval },
        ] {
            let expected = listed(&stories, |story| {
                let matches = event_type.is_none_or(|kind| kind == story.event_type)
                    && accepted.contains(story.recorded_at);
                matches.then_some(story.event).into_iter().collect()
            });
            let filter = EventFilter { event_type, accepted };
            let found = events(fixture.store(), &organization(), filter, EventId::MAX, ALL).await;
            assert_eq!(found, expected, "{event_type:?} {accepted:?}");
        }
    }
}

pub(crate) async fn deliveries_are_filtered_by_each_of_their_columns_and_any_two(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let example = &stories[5];
    let singles: [fn(&Story, Interval) -> DeliveryFilter; 5] = [
        |story, _| DeliveryFilter { endpoint_id: Some(story.endpoint), ..Default::default() },
        |story, _| DeliveryFilter { event_id: Some(story.event), ..Default::default() },
        |story, _| DeliveryFilter { event_type: Some(story.event_type), ..Default::default() },
        |story, _| DeliveryFilter { state: Some(story.state), ..Default::default() },
        |_, interval| DeliveryFilter { scheduled: interval, ..Default::default() },
    ];
    for one in singles {
        for other in singles {
            let (one, other) = (one(example, middle(&stories)), other(example, middle(&stories)));
            let filter = DeliveryFilter {
                endpoint_id: one.endpoint_id.or(other.endpoint_id),
                event_id: one.event_id.or(other.event_id),
                event_type: one.event_type.or(other.event_type),
                state: one.state.or(other.state),
                scheduled: Interval {
                    start: one.scheduled.start.or(other.scheduled.start),
                    end: one.scheduled.end.or(other.scheduled.end),
                },
            };
            let expected = listed(&stories, |story| {
                let matches = filter.endpoint_id.is_none_or(|id| id == story.endpoint)
                    && filter.event_id.is_none_or(|id| id == story.event)
                    && filter.event_type.is_none_or(|kind| kind == story.event_type)
                    && filter.state.is_none_or(|state| state == story.state)
                    && filter.scheduled.contains(story.recorded_at);
                matches.then_some(story.delivery).into_iter().collect()
            });
            assert!(!expected.is_empty(), "the example matches");
            let text = format!("{filter:?}");
            let (store, us) = (fixture.store(), organization());
            let page = deliveries(store, &us, filter.clone(), DeliveryId::MAX, ALL).await;
            assert_eq!(page, expected, "{text}");
            let rest = deliveries(store, &us, filter, expected[0], ALL).await;
            assert_eq!(rest, expected[1..], "{text}, second page");
        }
    }
}

pub(crate) async fn attempts_are_filtered_by_each_of_their_columns_and_any_two(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let example = &stories[5];
    let singles: [fn(&Story, Interval) -> AttemptFilter; 5] = [
        |story, _| AttemptFilter { endpoint_id: Some(story.endpoint), ..Default::default() },
        |story, _| AttemptFilter { delivery_id: Some(story.delivery), ..Default::default() },
        |story, _| AttemptFilter { event_type: Some(story.event_type), ..Default::default() },
        |_, _| AttemptFilter { outcome: Some(Outcome::Retrying), ..Default::default() },
        |_, interval| AttemptFilter { begun: interval, ..Default::default() },
    ];
    for one in singles {
        for other in singles {
            let (one, other) = (one(example, middle(&stories)), other(example, middle(&stories)));
            let filter = AttemptFilter {
                endpoint_id: one.endpoint_id.or(other.endpoint_id),
                delivery_id: one.delivery_id.or(other.delivery_id),
                event_type: one.event_type.or(other.event_type),
                outcome: one.outcome.or(other.outcome),
                begun: Interval {
                    start: one.begun.start.or(other.begun.start),
                    end: one.begun.end.or(other.begun.end),
                },
            };
            let expected = listed(&stories, |story| {
                let matches = filter.endpoint_id.is_none_or(|id| id == story.endpoint)
                    && filter.delivery_id.is_none_or(|id| id == story.delivery)
                    && filter.event_type.is_none_or(|kind| kind == story.event_type)
                    && filter.begun.contains(story.recorded_at);
                let of_outcome = story.attempts.iter().filter(|(_, outcome)| {
                    matches && filter.outcome.is_none_or(|wanted| wanted == *outcome)
                });
                of_outcome.map(|(id, _)| *id).collect()
            });
            assert!(!expected.is_empty(), "the example matches");
            let text = format!("{filter:?}");
            let (store, us) = (fixture.store(), organization());
            let page = attempts(store, &us, filter.clone(), AttemptId::MAX, ALL).await;
            assert_eq!(page, expected, "{text}");
            let rest = attempts(store, &us, filter, expected[0], ALL).await;
            assert_eq!(rest, expected[1..], "{text}, second page");
        }
    }
}

pub(crate) async fn endpoints_are_searched_by_text_that_means_only_itself(fixture: Fixture) {
    let names = ["100% of events", "100 events", "snake_case", "snakeXcase", "back\\slash", "O'Hara"];
    let ids = names.map(|_| endpoint_id());
    for (id, name) in ids.into_iter().zip(names) {
        fixture.append(create_endpoint_with(id, name, "https://Hooks.example/in%20box")).await;
    }
    let search = async |text: &str| {
        let filter = EndpointFilter { search: Some(text.to_owned()), status: None };
        let found = endpoints(fixture.store(), &organization(), filter, EndpointId::MAX, ALL).await;
        let name = |id| names[ids.iter().position(|other| *other == id).expect("known")];
        found.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(search("100").await, ["100 events", "100% of events"]);
    assert_eq!(search("100%").await, ["100% of events"]);
    assert_eq!(search("e_c").await, ["snake_case"]);
    assert_eq!(search("\\").await, ["back\\slash"]);
    assert_eq!(search("o'hara").await, ["O'Hara"]);
    assert_eq!(search("SNAKE").await, ["snakeXcase", "snake_case"]);
    assert_eq!(search("hooks.EXAMPLE/in%20").await.len(), names.len());
    assert!(search("%%").await.is_empty());
    assert!(search("nowhere").await.is_empty());
    assert_eq!(search("").await.len(), names.len());
}

pub(crate) async fn endpoints_are_filtered_by_status_and_text_together(fixture: Fixture) {
    let ids = [endpoint_id(), endpoint_id(), endpoint_id(), endpoint_id()];
    let [active, disabled, degraded, other] = ids;
    for (id, name) in [(active, "siem 1"), (disabled, "siem 2"), (degraded, "siem 3"), (other, "pager")] {
        fixture.append(create_endpoint_with(id, name, "https://example.com/")).await;
    }
    let disable = || EndpointFact::Disabled { reason: String::new() };
    let degrade =
        EndpointFact::Degraded { delivery_id: DeliveryId::MIN, reason: String::new() };
    fixture.append(change_endpoint(disabled, Expected::Any, disable())).await;
    fixture.append(change_endpoint(other, Expected::Any, disable())).await;
    fixture.append(change_endpoint(degraded, Expected::Any, degrade)).await;
    let list = async |status, search: Option<&str>| {
        let filter = EndpointFilter { status, search: search.map(str::to_owned) };
        endpoints(fixture.store(), &organization(), filter, EndpointId::MAX, ALL).await
    };
    assert_eq!(list(Some(EndpointStatus::Active), None).await, [active]);
    assert_eq!(list(Some(EndpointStatus::Disabled), None).await, [other, disabled]);
    assert_eq!(list(Some(EndpointStatus::Degraded), None).await, [degraded]);
    assert_eq!(list(None, Some("siem")).await, [degraded, disabled, active]);
    assert_eq!(list(Some(EndpointStatus::Disabled), Some("siem")).await, [disabled]);
    assert!(list(Some(EndpointStatus::Active), Some("pager")).await.is_empty());
}

pub(crate) async fn a_deleted_endpoint_is_not_listed_but_can_be_read(fixture: Fixture) {
    let (kept, deleted) = (endpoint_id(), endpoint_id());
    fixture.append_all(&[create_endpoint(kept), create_endpoint(deleted)]).await;
    fixture.append(change_endpoint(deleted, version(1), EndpointFact::Deleted)).await;
    let (store, all) = (fixture.store(), EndpointFilter::default());
    let listed = endpoints(store, &organization(), all, EndpointId::MAX, ALL).await;
    assert_eq!(listed, [kept]);
    assert!(fixture.endpoint(deleted).await.delete_time.is_some());

    let of_shard = async |after, limit| {
        let rows = fixture.store().shard_endpoints(SHARD, after, limit).await.expect("reads");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(of_shard(EndpointId::MIN, ALL).await, [kept, deleted]);
    assert_eq!(of_shard(EndpointId::MIN, 1).await, [kept]);
    assert_eq!(of_shard(kept, ALL).await, [deleted]);
    assert!(of_shard(deleted, ALL).await.is_empty());
}

pub(crate) async fn an_organization_sees_nothing_of_anothers(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let store = fixture.store();
    let stranger = "initech".parse().expect("an organization's id");
    let story = &stories[5];
    for whose in [other_organization(), stranger] {
        assert_eq!(store.endpoint(SHARD, &whose, story.endpoint).await.expect("reads"), None);
        assert_eq!(store.event(SHARD, &whose, story.event).await.expect("reads"), None);
        let rows = store.deliveries(SHARD, &whose, &[story.delivery]).await.expect("reads");
        assert!(rows.is_empty());
        let of_endpoint =
            DeliveryFilter { endpoint_id: Some(story.endpoint), ..DeliveryFilter::default() };
        assert!(deliveries(store, &whose, of_endpoint, DeliveryId::MAX, ALL).await.is_empty());
        let of_delivery =
            AttemptFilter { delivery_id: Some(story.delivery), ..AttemptFilter::default() };
        assert!(attempts(store, &whose, of_delivery, AttemptId::MAX, ALL).await.is_empty());
    }
    let theirs = events(store, &other_organization(), EventFilter::default(), EventId::MAX, ALL).await;
    assert_eq!(theirs.len(), 12);
    assert!(stories.iter().all(|story| !theirs.contains(&story.event)));
    let of_both = store.shard_endpoints(SHARD, EndpointId::MIN, ALL).await.expect("reads");
    assert_eq!(of_both.len(), 4, "dispatch works for everybody");
}

pub(crate) async fn deliveries_are_read_by_id_and_absent_ones_left_out(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let read = async |ids: &[DeliveryId]| {
        let rows = fixture.store().deliveries(SHARD, &organization(), ids).await.expect("reads");
        let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids
    };
    assert!(read(&[]).await.is_empty());
    assert!(read(&[delivery_id()]).await.is_empty());
    let (one, other) = (stories[2].delivery, stories[7].delivery);
    assert_eq!(read(&[other, delivery_id(), one]).await, [one, other]);
}

pub(crate) async fn an_empty_database_answers_every_question(fixture: Fixture) {
    let (store, us) = (fixture.store(), organization());
    assert!(endpoints(store, &us, EndpointFilter::default(), EndpointId::MAX, ALL).await.is_empty());
    assert!(events(store, &us, EventFilter::default(), EventId::MAX, ALL).await.is_empty());
    assert!(deliveries(store, &us, DeliveryFilter::default(), DeliveryId::MAX, ALL).await.is_empty());
    assert!(attempts(store, &us, AttemptFilter::default(), AttemptId::MAX, ALL).await.is_empty());
    assert!(fixture.log().await.is_empty());
    assert!(store.waiting_endpoints(SHARD).await.expect("reads").endpoints.is_empty());
    let due = store.due_deliveries(SHARD, EndpointId::MIN, DueKey::MIN, ALL).await;
    assert!(due.expect("reads").deliveries.is_empty());
    let missed = store.missed_events(SHARD, EndpointId::MIN, Position::START, ALL).await;
    assert!(missed.expect("reads").is_empty());
    let counts = store.attempt_counts(SHARD, EndpointId::MIN, Timestamp::UNIX_EPOCH).await;
    assert!(counts.expect("reads").is_empty());
    assert_eq!(store.delete_expired_bodies(SHARD, ALL).await.expect("deletes"), 0);
}

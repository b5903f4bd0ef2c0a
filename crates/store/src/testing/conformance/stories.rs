//! A database of events with their deliveries and attempts, for the checks of `queries` and `filters`.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{AttemptDetails, AttemptOutcome};
use keeptrusts_webhooks_domain::delivery::{DeliveryState, RequestResult};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};

use super::Fixture;
use super::given::*;
use crate::ids::new_ulid;
use crate::queries::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, StateFilter};
use crate::store::Store;

/// More rows than there are.
pub(super) const ALL: usize = 1_000;

pub(super) async fn endpoints(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: EndpointFilter,
    before: EndpointId,
    limit: usize,
) -> Vec<EndpointId> {
    let rows = store.list_endpoints(SHARD, whose, &filter, before, limit).await;
    rows.expect("endpoints are listed").into_iter().map(|row| row.id).collect()
}

pub(super) async fn events(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: EventFilter,
    before: EventId,
    limit: usize,
) -> Vec<EventId> {
    let rows = store.list_events(SHARD, whose, &filter, before, limit).await;
    rows.expect("events are listed").rows.into_iter().map(|row| row.id).collect()
}

pub(super) async fn deliveries(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: DeliveryFilter,
    before: DeliveryId,
    limit: usize,
) -> Vec<DeliveryId> {
    let rows = store.list_deliveries(SHARD, whose, &filter, before, limit).await;
    rows.expect("deliveries are listed").rows.into_iter().map(|row| row.id).collect()
}

pub(super) async fn attempts(
    store: &dyn Store,
    whose: &OrganizationId,
    filter: AttemptFilter,
    before: AttemptId,
    limit: usize,
) -> Vec<AttemptId> {
    let rows = store.list_attempts(SHARD, whose, &filter, before, limit).await;
    rows.expect("attempts are listed").rows.into_iter().map(|row| row.details.id).collect()
}

/// Deliveries in a stored state, or all, while no endpoint is disabled.
pub(super) fn in_state(state: Option<DeliveryState>) -> StateFilter<DeliveryState> {
    StateFilter::of_deliveries(state.map(|state| state.effective(false)).as_slice(), [])
}

/// One event of [`populate`], with its deliveries and attempts.
pub(super) struct Story {
    pub(super) event: EventId,
    pub(super) event_type: EventType,
    pub(super) endpoint: EndpointId,
    pub(super) delivery: DeliveryId,
    pub(super) state: DeliveryState,
    /// Oldest first.
    pub(super) attempts: Vec<(AttemptId, AttemptOutcome)>,
    pub(super) recorded_at: Timestamp,
}

/// Twelve events of two types to two endpoints, in all states that attempts lead to, each
/// recorded at a different time; and the same of another organization.
pub(super) async fn populate(fixture: &Fixture) -> Vec<Story> {
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
    let event_type = [EventType::PolicyBlock, EventType::KeyRotated][number / 2 % 2];
    // Lists of an interval compare ids, which contain the time of their creation.
    let next_id = async || {
        fixture.advance(Duration::from_millis(2)).await;
        new_ulid(fixture.now())
    };
    let (event, delivery) = (EventId::new(next_id().await), DeliveryId::new(next_id().await));
    let routed = [
        publish_type(event, event_type).of(whose.clone()),
        schedule_type(event, event_type, &[(delivery, endpoint)], &[]).of(whose.clone()),
    ];
    let recorded_at = fixture.append_all(&routed).await[0].recorded_at;
    let (state, outcomes) = match number % 3 {
        0 => (DeliveryState::Scheduled, vec![]),
        1 => (DeliveryState::Retrying, vec![AttemptOutcome::Retrying]),
        _ => (DeliveryState::Delivered, vec![AttemptOutcome::Retrying, AttemptOutcome::Delivered]),
    };
    let mut attempts = Vec::new();
    for outcome in outcomes {
        let rows = fixture.store().deliveries(SHARD, whose, &[delivery]).await.expect("reads");
        let id = AttemptId::new(next_id().await);
        let details = AttemptDetails { id, ..attempt_of(&rows[0], recorded_at) };
        let request_result = match outcome {
            AttemptOutcome::Delivered => RequestResult::Succeeded,
            _ => failure(),
        };
        let operation = conclude(&rows[0], details, request_result);
        let records = fixture.append(operation.of(whose.clone())).await;
        let keeptrusts_webhooks_domain::fact::Fact::Delivery(fact) = &records[0].fact else {
            panic!("an attempt's fact is a delivery's")
        };
        attempts.push((fact.attempt().expect("an attempt").0.id, outcome));
    }
    Story { event, event_type, endpoint, delivery, state, attempts, recorded_at }
}

/// What `list` gives of each story, newest first.
pub(super) fn listed<T>(stories: &[Story], of: impl Fn(&Story) -> Vec<T>) -> Vec<T> {
    let mut found: Vec<_> = stories.iter().flat_map(of).collect();
    found.reverse();
    found
}

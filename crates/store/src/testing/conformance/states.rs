//! Lists by effective states: those that depend on an endpoint's failures, or on whether it is disabled.

use std::collections::HashSet;

use keeptrusts_webhooks_domain::delivery::EffectiveDeliveryState;
use keeptrusts_webhooks_domain::endpoint::{
    DisableCause, EffectiveEndpointState, FAILING_AFTER_FAILURES,
};
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId};

use super::Fixture;
use super::given::*;
use super::stories::{ALL, deliveries, endpoints};
use crate::log::operation::ExpectedVersion;
use crate::queries::{DeliveryFilter, EndpointFilter, StateFilter};

/// How many rows a page has.
const LIMITS: [usize; 3] = [1, 4, ALL];

fn disabled() -> EndpointFact {
    EndpointFact::Disabled { reason: String::new(), cause: DisableCause::Requested }
}

fn degraded() -> EndpointFact {
    EndpointFact::Degraded { delivery_id: DeliveryId::MIN, reason: String::new() }
}

async fn a_delivery_to(fixture: &Fixture, endpoint: EndpointId) -> DeliveryId {
    let (event, delivery) = (event_id(), delivery_id());
    let scheduled = schedule(event, &[(delivery, endpoint)], &[]);
    fixture.append_all(&[publish(event), scheduled]).await;
    delivery
}

async fn fail_once(fixture: &Fixture, delivery: DeliveryId) {
    fixture.append(fail(&fixture.delivery(delivery).await, fixture.now())).await;
}

/// Every set of values, the empty one included.
fn subsets<T: Copy>(values: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..1_u32 << values.len()).map(move |set| {
        let chosen = values.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
        chosen.map(|(_, value)| *value).collect()
    })
}

/// The rows in one of these states, newest first.
fn expected<Id: Copy + Ord, State: PartialEq>(rows: &[(Id, State)], states: &[State]) -> Vec<Id> {
    let wanted = |(_, state): &&(Id, State)| states.is_empty() || states.contains(state);
    let mut ids: Vec<_> = rows.iter().filter(wanted).map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.reverse();
    ids
}

pub(crate) async fn endpoints_are_listed_by_effective_states_page_by_page(fixture: Fixture) {
    use EffectiveEndpointState::{Active, Degraded, Disabled, Failing};
    let mut rows = Vec::new();
    // Each kind twice, mixed: the facts that follow the failures, the failures, the state.
    for _ in 0..2 {
        for (fact, failures, state) in [
            (None, 0, Active),
            (None, FAILING_AFTER_FAILURES, Failing),
            (Some(degraded()), FAILING_AFTER_FAILURES, Degraded),
            (None, FAILING_AFTER_FAILURES - 1, Active),
            (Some(disabled()), FAILING_AFTER_FAILURES, Disabled),
            (Some(degraded()), 0, Degraded),
            (None, FAILING_AFTER_FAILURES + 1, Failing),
            (Some(disabled()), 0, Disabled),
        ] {
            let id = endpoint_id();
            fixture.append(create_endpoint(id)).await;
            for _ in 0..failures {
                let delivery = a_delivery_to(&fixture, id).await;
                fail_once(&fixture, delivery).await;
            }
            if let Some(fact) = fact {
                fixture.append(change_endpoint(id, ExpectedVersion::Any, fact)).await;
            }
            rows.push((id, state));
        }
    }
    // Deleted ones, and those of others, are in no list.
    let deleted = endpoint_id();
    fixture.append(create_endpoint(deleted)).await;
    fixture.append(change_endpoint(deleted, ExpectedVersion::Any, EndpointFact::Deleted)).await;
    fixture.append(create_endpoint(endpoint_id()).of(other_organization())).await;

    let (store, us) = (fixture.store(), organization());
    let streaks = store.failing_endpoints(SHARD, Some(&us)).await.expect("reads");
    let now = fixture.now();
    let failing = || streaks.iter().filter(|(_, streak)| streak.is_failing(now)).map(|(id, _)| *id);
    for (id, state) in &rows {
        let effective = fixture.endpoint(*id).await.state.effective(failing().any(|it| it == *id));
        assert_eq!(effective, *state);
    }
    for states in subsets(&[Active, Failing, Degraded, Disabled]) {
        let expected = expected(&rows, &states);
        for limit in LIMITS {
            let (mut found, mut before) = (Vec::new(), EndpointId::MAX);
            loop {
                let filter = EndpointFilter {
                    states: StateFilter::of_endpoints(&states, failing()),
                    search: None,
                };
                let page = endpoints(store, &us, filter, before, limit).await;
                assert!(page.len() <= limit);
                let Some(last) = page.last().copied() else { break };
                (found, before) = ([found, page].concat(), last);
            }
            assert_eq!(found, expected, "{states:?}, {limit} at a time");
        }
    }
}

pub(crate) async fn deliveries_are_listed_by_effective_states_page_by_page(fixture: Fixture) {
    use EffectiveDeliveryState::{Cancelled, Delivered, Failed, Paused, Retrying, Scheduled};
    let ids = [(); 4].map(|()| endpoint_id());
    let [enabled, resting, other_resting, deleted] = ids;
    fixture.append_all(&ids.map(create_endpoint)).await;
    let mut rows = Vec::new();
    for number in 0..40 {
        let endpoint = ids[number % ids.len()];
        let delivery = a_delivery_to(&fixture, endpoint).await;
        let waits = [resting, other_resting].contains(&endpoint);
        let state = match number / ids.len() % 5 {
            0 => Scheduled,
            1 => {
                fail_once(&fixture, delivery).await;
                Retrying
            }
            2 => {
                let row = fixture.delivery(delivery).await;
                fixture.append(succeed(&row, fixture.now())).await;
                Delivered
            }
            3 => {
                let fact = DeliveryFact::Cancelled { reason: String::new() };
                fixture.append(change_delivery(delivery, ExpectedVersion::Any, fact)).await;
                Cancelled
            }
            _ => {
                while !fixture.delivery(delivery).await.state.has_ended() {
                    fail_once(&fixture, delivery).await;
                }
                Failed
            }
        };
        let is_waiting = matches!(state, Scheduled | Retrying);
        rows.push((delivery, if waits && is_waiting { Paused } else { state }));
    }
    for id in [resting, other_resting, deleted] {
        fixture.append(change_endpoint(id, ExpectedVersion::Any, disabled())).await;
    }
    fixture.append(change_endpoint(deleted, ExpectedVersion::Any, EndpointFact::Deleted)).await;
    let theirs = endpoint_id();
    fixture.append(create_endpoint(theirs).of(other_organization())).await;
    let off = change_endpoint(theirs, ExpectedVersion::Any, disabled()).of(other_organization());
    fixture.append(off).await;

    let (store, us) = (fixture.store(), organization());
    let disabled = async |only| store.disabled_endpoints(SHARD, &us, only).await.expect("reads");
    let known = disabled(None).await;
    assert_eq!(known, HashSet::from([resting, other_resting]));
    assert_eq!(disabled(Some(resting)).await, HashSet::from([resting]));
    for id in [enabled, deleted, theirs] {
        assert!(disabled(Some(id)).await.is_empty(), "{id}");
    }

    for states in subsets(&[Scheduled, Retrying, Paused, Delivered, Failed, Cancelled]) {
        let expected = expected(&rows, &states);
        for limit in LIMITS {
            let (mut found, mut before) = (Vec::new(), DeliveryId::MAX);
            loop {
                let filter = DeliveryFilter {
                    states: StateFilter::of_deliveries(&states, known.iter().copied()),
                    ..DeliveryFilter::default()
                };
                let page = deliveries(store, &us, filter, before, limit).await;
                assert!(page.len() <= limit);
                let Some(last) = page.last().copied() else { break };
                (found, before) = ([found, page].concat(), last);
            }
            assert_eq!(found, expected, "{states:?}, {limit} at a time");
        }
        // Together with another column.
        let filter = DeliveryFilter {
            states: StateFilter::of_deliveries(&states, known.iter().copied()),
            endpoint_ids: Some(resting).into(),
            ..DeliveryFilter::default()
        };
        let mut there = Vec::new();
        for id in expected {
            if fixture.delivery(id).await.endpoint_id == resting {
                there.push(id);
            }
        }
        assert_eq!(deliveries(store, &us, filter, DeliveryId::MAX, ALL).await, there);
    }
    fixture.append(change_endpoint(resting, ExpectedVersion::Any, EndpointFact::Enabled)).await;
    assert_eq!(disabled(None).await, HashSet::from([other_resting]));
}

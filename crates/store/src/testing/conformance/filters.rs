//! Filters: every column alone, and any two together.

use std::collections::BTreeSet;

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::endpoint::{DisableCause, EffectiveEndpointState};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::EndpointFact;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};

use super::Fixture;
use super::given::*;
use super::stories::*;
use crate::log::operation::ExpectedVersion;
use crate::queries::{
    AnyOf, AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, Interval, StateFilter,
};

/// From the fourth story on, and before the tenth.
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
            let filter = EventFilter { event_types: event_type.into(), accepted, publisher: None };
            let found = events(fixture.store(), &organization(), filter, EventId::MAX, ALL).await;
            assert_eq!(found, expected, "{event_type:?} {accepted:?}");
        }
    }
}

pub(crate) async fn deliveries_are_filtered_by_each_of_their_columns_and_any_two(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let example = &stories[5];
    let singles: [fn(&Story, Interval) -> DeliveryFilter; 5] = [
        |story, _| DeliveryFilter {
            endpoint_ids: Some(story.endpoint).into(),
            ..Default::default()
        },
        |story, _| DeliveryFilter { event_id: Some(story.event), ..Default::default() },
        |story, _| DeliveryFilter {
            event_types: Some(story.event_type).into(),
            ..Default::default()
        },
        |story, _| DeliveryFilter { states: in_state(Some(story.state)), ..Default::default() },
        |_, interval| DeliveryFilter { scheduled: interval, ..Default::default() },
    ];
    for one in singles {
        for other in singles {
            let (one, other) = (one(example, middle(&stories)), other(example, middle(&stories)));
            let filter = DeliveryFilter {
                endpoint_ids: either(one.endpoint_ids, other.endpoint_ids),
                event_id: one.event_id.or(other.event_id),
                event_types: either(one.event_types, other.event_types),
                states: if one.states.is_all() { other.states } else { one.states },
                scheduled: Interval {
                    start: one.scheduled.start.or(other.scheduled.start),
                    end: one.scheduled.end.or(other.scheduled.end),
                },
            };
            let expected = listed(&stories, |story| {
                let matches = filter.endpoint_ids.admits(&story.endpoint)
                    && filter.event_id.is_none_or(|id| id == story.event)
                    && filter.event_types.admits(&story.event_type)
                    && filter.states.admits(story.state, story.endpoint)
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

/// The values of a filter, or those of another one if it lets all through.
fn either<T>(one: AnyOf<T>, other: AnyOf<T>) -> AnyOf<T> {
    if one.is_all() { other } else { one }
}

pub(crate) async fn lists_are_filtered_by_several_values_of_a_column(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let (store, us) = (fixture.store(), organization());
    let one = &stories[5];
    let other = stories.iter().find(|story| story.endpoint != one.endpoint).expect("two endpoints");
    let (both, types) = ([one.endpoint, other.endpoint], [one.event_type, other.event_type]);
    let filter = DeliveryFilter {
        endpoint_ids: both.to_vec().into(),
        event_types: types.to_vec().into(),
        ..Default::default()
    };
    let expected = listed(&stories, |story| {
        let matches = both.contains(&story.endpoint) && types.contains(&story.event_type);
        matches.then_some(story.delivery).into_iter().collect()
    });
    assert!(expected.len() > 1, "{expected:?}");
    let page = deliveries(store, &us, filter.clone(), DeliveryId::MAX, ALL).await;
    assert_eq!(page, expected);
    let rest = deliveries(store, &us, filter, expected[0], ALL).await;
    assert_eq!(rest, expected[1..], "the second page");

    let outcomes = vec![AttemptOutcome::Retrying, AttemptOutcome::Failed];
    let filter = AttemptFilter {
        endpoint_ids: both.to_vec().into(),
        outcomes: outcomes.clone().into(),
        ..Default::default()
    };
    let expected = listed(&stories, |story| {
        let matches = both.contains(&story.endpoint);
        let wanted = story.attempts.iter().filter(|(_, it)| matches && outcomes.contains(it));
        wanted.map(|(id, _)| *id).collect()
    });
    assert_eq!(attempts(store, &us, filter, AttemptId::MAX, ALL).await, expected);

    let filter = EventFilter { event_types: types.to_vec().into(), ..Default::default() };
    let found = events(store, &us, filter, EventId::MAX, ALL).await;
    let expected = listed(&stories, |story| {
        types.contains(&story.event_type).then_some(story.event).into_iter().collect()
    });
    assert_eq!(found, expected);
    let ids = [one.event, other.event, EventId::MAX];
    let found = store.events(SHARD, &us, &ids).await.expect("reads");
    let found: BTreeSet<_> = found.iter().map(|event| event.id).collect();
    assert_eq!(found, BTreeSet::from([one.event, other.event]));

    let ids = [one.delivery, other.delivery, DeliveryId::MAX];
    let expected = listed(&stories, |story| {
        let matches = ids.contains(&story.delivery);
        story.attempts.iter().filter(|_| matches).map(|(id, _)| *id).collect()
    });
    let of_both = async |whose: &OrganizationId, limit| {
        let found = store.attempts_of_deliveries(SHARD, whose, &ids, limit).await.expect("reads");
        found.iter().map(|attempt| attempt.details.id).collect::<Vec<_>>()
    };
    let oldest_first: Vec<_> = expected.into_iter().rev().collect();
    assert!(oldest_first.len() > 1, "{oldest_first:?}");
    assert_eq!(of_both(&us, ALL).await, oldest_first);
    assert_eq!(of_both(&us, 1).await, oldest_first[..1]);
    assert_eq!(of_both(&other_organization(), ALL).await, []);
    let none = store.attempts_of_deliveries(SHARD, &us, &[], ALL).await.expect("reads");
    assert_eq!(none, []);
}

pub(crate) async fn attempts_are_filtered_by_each_of_their_columns_and_any_two(fixture: Fixture) {
    let stories = populate(&fixture).await;
    let example = &stories[5];
    let singles: [fn(&Story, Interval) -> AttemptFilter; 5] = [
        |story, _| AttemptFilter {
            endpoint_ids: Some(story.endpoint).into(),
            ..Default::default()
        },
        |story, _| AttemptFilter { delivery_id: Some(story.delivery), ..Default::default() },
        |story, _| AttemptFilter {
            event_types: Some(story.event_type).into(),
            ..Default::default()
        },
        |_, _| AttemptFilter {
            outcomes: Some(AttemptOutcome::Retrying).into(),
            ..Default::default()
        },
        |_, interval| AttemptFilter { begun: interval, ..Default::default() },
    ];
    for one in singles {
        for other in singles {
            let (one, other) = (one(example, middle(&stories)), other(example, middle(&stories)));
            let filter = AttemptFilter {
                endpoint_ids: either(one.endpoint_ids, other.endpoint_ids),
                delivery_id: one.delivery_id.or(other.delivery_id),
                event_types: either(one.event_types, other.event_types),
                outcomes: either(one.outcomes, other.outcomes),
                begun: Interval {
                    start: one.begun.start.or(other.begun.start),
                    end: one.begun.end.or(other.begun.end),
                },
            };
            let expected = listed(&stories, |story| {
                let matches = filter.endpoint_ids.admits(&story.endpoint)
                    && filter.delivery_id.is_none_or(|id| id == story.delivery)
                    && filter.event_types.admits(&story.event_type)
                    && filter.begun.contains(story.recorded_at);
                let of_outcome = story
                    .attempts
                    .iter()
                    .filter(|(_, outcome)| matches && filter.outcomes.admits(outcome));
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

pub(crate) async fn endpoints_are_searched_by_literal_text(fixture: Fixture) {
    let names =
        ["100% of events", "100 events", "snake_case", "snakeXcase", "back\\slash", "O'Hara"];
    let ids = names.map(|_| endpoint_id());
    for (id, name) in ids.into_iter().zip(names) {
        fixture.append(create_endpoint_with(id, name, "https://Hooks.example/in%20box")).await;
    }
    let search = async |text: &str| {
        let filter = EndpointFilter { search: Some(text.to_owned()), ..Default::default() };
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

pub(crate) async fn endpoints_are_filtered_by_state_and_text_together(fixture: Fixture) {
    let ids = [endpoint_id(), endpoint_id(), endpoint_id(), endpoint_id()];
    let [active, disabled, degraded, other] = ids;
    for (id, name) in
        [(active, "siem 1"), (disabled, "siem 2"), (degraded, "siem 3"), (other, "pager")]
    {
        fixture.append(create_endpoint_with(id, name, "https://example.com/")).await;
    }
    let disable =
        || EndpointFact::Disabled { reason: String::new(), cause: DisableCause::Requested };
    let degrade = EndpointFact::Degraded { delivery_id: DeliveryId::MIN, reason: String::new() };
    fixture.append(change_endpoint(disabled, ExpectedVersion::Any, disable())).await;
    fixture.append(change_endpoint(other, ExpectedVersion::Any, disable())).await;
    fixture.append(change_endpoint(degraded, ExpectedVersion::Any, degrade)).await;
    let list = async |state: Option<EffectiveEndpointState>, search: Option<&str>| {
        let states = StateFilter::of_endpoints(state.as_slice(), []);
        let filter = EndpointFilter { states, search: search.map(str::to_owned) };
        endpoints(fixture.store(), &organization(), filter, EndpointId::MAX, ALL).await
    };
    assert_eq!(list(Some(EffectiveEndpointState::Active), None).await, [active]);
    assert_eq!(list(Some(EffectiveEndpointState::Disabled), None).await, [other, disabled]);
    assert_eq!(list(Some(EffectiveEndpointState::Degraded), None).await, [degraded]);
    assert_eq!(list(None, Some("siem")).await, [degraded, disabled, active]);
    assert_eq!(list(Some(EffectiveEndpointState::Disabled), Some("siem")).await, [disabled]);
    assert!(list(Some(EffectiveEndpointState::Active), Some("pager")).await.is_empty());
}

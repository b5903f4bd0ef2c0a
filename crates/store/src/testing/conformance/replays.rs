//! Replays: their rows and their candidates.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, ReplayId};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayBound, ReplayCounts, ReplayCursor, ReplayFact, ReplayScope,
    ReplaySelection, ReplayState, ReplayStep,
};
use keeptrusts_webhooks_domain::trace::TraceContext;

use super::Fixture;
use super::due::due;
use super::given::*;
use super::projections::{a_delivery_to, an_endpoint};
use crate::log::operation::{BodyId, ExpectedVersion, Operation, Refusal};
use crate::queries::ReplayFilter;
use crate::queries::replay_candidates::Candidate;
use crate::store::DueKey;

const END: Position = Position(i64::MAX);

fn advanced(id: ReplayId, expected: ExpectedVersion, cursor: ReplayCursor) -> Operation {
    let counts = ReplayCounts { scheduled: 1, resumed: 2, skipped: 3, expired: 4 };
    change_replay(id, expected, ReplayFact::Advanced(ReplayStep { cursor, counts }))
}

async fn replay(fixture: &Fixture, id: ReplayId) -> Replay {
    let found = fixture.store().replay(SHARD, &organization(), id).await;
    found.expect("the replay is read").expect("the replay exists")
}

/// All candidates, read in pages that examine `limit` rows.
async fn candidates(
    fixture: &Fixture,
    selection: &ReplaySelection,
    before: Position,
    limit: usize,
) -> Vec<Candidate> {
    let (mut all, mut after) = (Vec::new(), ReplayCursor::start(selection.scope));
    loop {
        let store = fixture.store();
        let us = organization();
        let page = store.replay_candidates(SHARD, &us, selection, before, after, limit);
        let page = page.await.expect("candidates are read");
        assert!(page.candidates.len() <= limit);
        all.extend(page.candidates);
        match page.next {
            Some(next) => {
                assert!(next > after, "it goes on");
                after = next;
            }
            None => return all,
        }
    }
}

async fn events(fixture: &Fixture, selection: &ReplaySelection, before: Position) -> Vec<EventId> {
    let found = candidates(fixture, selection, before, 3).await;
    found.into_iter().map(|candidate| candidate.event_id).collect()
}

pub(crate) async fn a_replays_row_follows_each_of_its_facts(fixture: Fixture) {
    let (endpoint, id) = (endpoint_id(), replay_id());
    let bound = |position| Some(ReplayBound { event_id: event_id(), position: Position(position) });
    let selection = ReplaySelection {
        start_time: Some(time("2026-04-23T10:00:00.000001Z")),
        end_time: Some(time("2026-04-23T11:00:00Z")),
        start_event: bound(1),
        end_event: bound(9),
        event_types: vec![EventType::PolicyBlock, EventType::KeyRotated],
        include_delivered: true,
        ..replay_selection(endpoint, ReplayScope::All)
    };
    let request = NewReplay {
        selection,
        deliveries_per_second: 5_000,
        matched_count: 7,
        may_match_more: true,
    };
    let mut ask = change_replay(id, ExpectedVersion::New, ReplayFact::Requested(request.clone()));
    ask.metadata.actor = "key_1".to_owned();
    let asked = fixture.append(ask).await;
    let at = (asked[0].position, asked[0].recorded_at);
    let mut expected = Replay::requested(id, organization(), request, "key_1".to_owned(), at);
    assert_eq!(replay(&fixture, id).await, expected);

    let cursor = ReplayCursor::Event(event_id());
    let facts = [
        advanced(id, version(1), cursor),
        advanced(id, ExpectedVersion::Any, cursor),
        change_replay(id, version(3), ReplayFact::Cancelled { endpoint_id: endpoint }),
    ];
    for operation in facts {
        let records = fixture.append(operation).await;
        let Fact::Replay(fact) = &records[0].fact else { panic!("a replay's fact") };
        expected.apply(fact, records[0].recorded_at);
        assert_eq!(replay(&fixture, id).await, expected);
    }
    assert_eq!((expected.state, expected.counts.sent()), (ReplayState::Cancelled, 6));

    let results = fixture
        .results(&[
            advanced(id, version(3), cursor),
            advanced(id, ExpectedVersion::Any, cursor).of(other_organization()),
            advanced(replay_id(), ExpectedVersion::Any, cursor),
        ])
        .await;
    assert!(matches!(results[0], Err(Refusal::StaleVersion { .. })), "{:?}", results[0]);
    assert!(matches!(results[1], Err(Refusal::NoSuchStream(_))), "{:?}", results[1]);
    assert!(matches!(results[2], Err(Refusal::NoSuchStream(_))), "{:?}", results[2]);
    let theirs = fixture.store().replay(SHARD, &other_organization(), id).await;
    assert_eq!(theirs.expect("reads"), None);
}

pub(crate) async fn replays_are_listed_newest_first_and_running_ones_by_their_ids(
    fixture: Fixture,
) {
    let (one, two) = (endpoint_id(), endpoint_id());
    let ids: Vec<_> = (0..6).map(|_| replay_id()).collect();
    for (index, id) in ids.iter().enumerate() {
        let selection = replay_selection([one, two][index % 2], ReplayScope::All);
        fixture.append(ask_replay(*id, selection)).await;
    }
    let theirs = replay_id();
    let selection = replay_selection(endpoint_id(), ReplayScope::Missed);
    fixture.append(ask_replay(theirs, selection).of(other_organization())).await;
    let ended = ReplayFact::Ended { reason: String::new() };
    fixture.append(change_replay(ids[1], version(1), ended)).await;

    let (store, us) = (fixture.store(), organization());
    let list = async |endpoints: &[EndpointId], states: &[ReplayState], before, limit| {
        let filter = ReplayFilter {
            endpoint_ids: endpoints.to_vec().into(),
            states: states.to_vec().into(),
        };
        let page = store.list_replays(SHARD, &us, &filter, before, limit).await;
        page.expect("replays are listed").rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let end = ReplayId::MAX;
    assert_eq!(list(&[], &[], end, 2).await, [ids[5], ids[4]]);
    assert_eq!(list(&[], &[], ids[4], 9).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(list(&[two], &[], end, 9).await, [ids[5], ids[3], ids[1]]);
    assert_eq!(list(&[two, one, two], &[], ids[5], 2).await, [ids[4], ids[3]]);
    let (running, done) = (ReplayState::Running, ReplayState::Done);
    assert_eq!(list(&[], &[done], end, 9).await, [ids[1]]);
    assert_eq!(list(&[two, endpoint_id()], &[running], end, 9).await, [ids[5], ids[3]]);
    assert_eq!(list(&[one], &[running, done, running], end, 9).await, [ids[4], ids[2], ids[0]]);
    assert_eq!(list(&[], &[ReplayState::Cancelled], end, 9).await, []);
    let running = async |whose, after, limit| {
        let rows = store.running_replays(SHARD, whose, after, limit).await;
        rows.expect("replays are read").into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(running(Some(&us), ReplayId::MIN, 2).await, [ids[0], ids[2]]);
    assert_eq!(running(None, ids[3], 9).await, [ids[4], ids[5], theirs]);
}

pub(crate) async fn invariant_4_a_step_is_appended_as_a_whole_or_not_at_all(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let failed = a_delivery_to(&fixture, endpoint).await;
    while fixture.delivery(failed).await.state != DeliveryState::Failed {
        fixture.append(fail(&fixture.delivery(failed).await, fixture.now())).await;
    }
    let (event, new, id) = (event_id(), delivery_id(), replay_id());
    fixture.append(publish(event)).await;
    fixture.append(ask_replay(id, replay_selection(endpoint, ReplayScope::All))).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse();
    let trace: TraceContext = trace.expect("a traceparent");
    let trace = Some(trace.with_state("rojo=1".parse().ok()));
    let replayed = DeliveryFact::Replayed {
        replay_id: id,
        event_id: event,
        event_type: EVENT_TYPE,
        event_time: Some(time(EVENT_TIME)),
        endpoint_id: endpoint,
        trace: trace.clone(),
    };
    let resumed = DeliveryFact::Resumed { replay_id: id, endpoint_id: endpoint };
    let before = fixture.delivery(failed).await.version;
    let step = |replay, delivery| {
        change_delivery(new, ExpectedVersion::New, replayed.clone())
            .and(change_delivery(failed, ExpectedVersion::Exactly(delivery), resumed.clone()))
            .and(advanced(id, version(replay), ReplayCursor::Event(event)))
    };
    // Meanwhile the replay was cancelled, or a delivery changed.
    let refused = fixture.results(&[step(2, before), step(1, Version(before.0 - 1))]).await;
    assert!(refused.iter().all(|result| matches!(result, Err(Refusal::StaleVersion { .. }))));
    assert!(due(&fixture, endpoint, DueKey::MIN, 9).await.is_empty());

    let records = fixture.append(step(1, before)).await;
    let waiting = due(&fixture, endpoint, DueKey::MIN, 9).await;
    assert_eq!(waiting.len(), 2);
    let row = fixture.delivery(new).await;
    assert_eq!((row.event_id, row.event_type, row.endpoint_id), (event, EVENT_TYPE, endpoint));
    assert_eq!((row.state, row.version), (DeliveryState::Scheduled, Version(1)));
    assert_eq!(row.due_time(), Some(records[0].recorded_at));
    assert_eq!((row.trace, row.event_time), (trace, Some(time(EVENT_TIME))));
    let row = fixture.delivery(failed).await;
    assert_eq!((row.state, row.automatic_count), (DeliveryState::Retrying, 0));
    assert_eq!((row.attempt_count, row.due_time()), (6, Some(records[1].recorded_at)));
}

/// Events in all states that a replay covers, and in each state that it must not cover.
pub(crate) async fn each_scope_finds_its_events_page_by_page(fixture: Fixture) {
    let (endpoint, other) = (an_endpoint(&fixture).await, an_endpoint(&fixture).await);
    let expire_time = fixture.now() + Duration::from_secs(3_600);
    let new = async |deliveries: &[EndpointId], missed: &[EndpointId], is_kept: bool| {
        let event = event_id();
        let ids: Vec<_> = deliveries.iter().map(|to| (delivery_id(), *to)).collect();
        let mut accept = publish(event);
        accept.metadata.trace =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        if is_kept {
            accept = accept.with_body(BodyId::Event(event), "body", expire_time);
        }
        fixture.append_all(&[accept, schedule(event, &ids, missed)]).await;
        (event, ids.first().map(|(id, _)| *id))
    };
    let fail_for_good = async |id| {
        while !fixture.delivery(id).await.state.has_ended() {
            fixture.append(fail(&fixture.delivery(id).await, fixture.now())).await;
        }
    };
    let (unrelated, _) = new(&[other], &[], true).await;
    let (missed, _) = new(&[], &[endpoint, other], true).await;
    let (missed_expired, _) = new(&[], &[endpoint], false).await;
    let (waiting, _) = new(&[endpoint], &[], true).await;
    let (delivered, id) = new(&[endpoint], &[], true).await;
    fixture.append(succeed(&fixture.delivery(id.expect("one")).await, fixture.now())).await;
    let (failed, id) = new(&[endpoint], &[], true).await;
    fail_for_good(id.expect("one")).await;
    // It failed, was requested again, and failed again: its last attempt counts.
    let failed_delivery = id.expect("one");
    let retry = DeliveryFact::RetryRequested;
    fixture.append(change_delivery(failed_delivery, ExpectedVersion::Any, retry)).await;
    fixture.append(fail(&fixture.delivery(failed_delivery).await, fixture.now())).await;
    let (cancelled, id) = new(&[endpoint], &[], true).await;
    let cancel = DeliveryFact::Cancelled { reason: "why not".to_owned() };
    fixture.append(change_delivery(id.expect("one"), ExpectedVersion::Any, cancel)).await;
    let test = delivery_id();
    fixture.append(request_test(test, event_id(), endpoint)).await;
    fixture.append(fail(&fixture.delivery(test).await, fixture.now())).await;
    let before = fixture.last_position().await.next();
    new(&[], &[endpoint], true).await;

    let found = async |scope| {
        let selection = replay_selection(endpoint, scope);
        let all = candidates(&fixture, &selection, before, 1_000).await;
        for limit in [1, 2, 3] {
            assert_eq!(candidates(&fixture, &selection, before, limit).await, all);
        }
        assert!(all.iter().all(|candidate| candidate.trace.is_some()));
        assert!(all.iter().all(|candidate| candidate.event_time == Some(time(EVENT_TIME))));
        let brief = all
            .into_iter()
            .map(|row| (row.event_id, row.delivery.map(|delivery| delivery.state), row.is_kept));
        brief.collect::<Vec<_>>()
    };
    let missed_ones = [(missed, None, true), (missed_expired, None, false)];
    assert_eq!(found(ReplayScope::Missed).await, missed_ones);
    let failed_one = (failed, Some(DeliveryState::Failed), true);
    assert_eq!(found(ReplayScope::Failed).await, [failed_one]);
    let all = [
        (unrelated, None, true),
        missed_ones[0],
        missed_ones[1],
        (waiting, Some(DeliveryState::Scheduled), true),
        (delivered, Some(DeliveryState::Delivered), true),
        failed_one,
        (cancelled, Some(DeliveryState::Cancelled), true),
    ];
    assert_eq!(found(ReplayScope::All).await, all);

    // Once it is resumed, the attempt that failed is its last, but it has not failed.
    let (replay_id, endpoint_id) = (replay_id(), endpoint);
    let resumed = DeliveryFact::Resumed { replay_id, endpoint_id };
    fixture.append(change_delivery(failed_delivery, ExpectedVersion::Any, resumed)).await;
    let waits = (failed, Some(DeliveryState::Retrying), true);
    assert_eq!(found(ReplayScope::Failed).await, [waits]);
}

pub(crate) async fn a_replay_is_limited_by_times_events_and_types(fixture: Fixture) {
    let endpoint = an_endpoint(&fixture).await;
    let mut made: Vec<(EventId, Timestamp, Position)> = Vec::new();
    for index in 0..6 {
        fixture.advance(Duration::from_millis(20)).await;
        // With the times that real ids have.
        let event = EventId::new(crate::ids::new_ulid(fixture.now()));
        let kind = [EventType::PolicyBlock, EventType::KeyRotated][index % 2];
        let delivery = delivery_id();
        let accept = publish_type(event, kind);
        let routed = schedule_type(event, kind, &[(delivery, endpoint)], &[endpoint]);
        let accepted = fixture.append_all(&[accept, routed]).await[0].clone();
        made.push((event, accepted.recorded_at, accepted.position));
    }
    let ids: Vec<_> = made.iter().map(|(id, ..)| *id).collect();
    for scope in [ReplayScope::Missed, ReplayScope::All] {
        let everything = replay_selection(endpoint, scope);
        let found = async |selection: ReplaySelection| events(&fixture, &selection, END).await;
        assert_eq!(found(everything.clone()).await, ids);
        let times = ReplaySelection {
            start_time: Some(made[1].1),
            end_time: Some(made[4].1),
            ..everything.clone()
        };
        assert_eq!(found(times).await, ids[1..4]);
        let bound = |index: usize| {
            let (event_id, _, position) = made[index];
            Some(ReplayBound { event_id, position })
        };
        let events_between =
            ReplaySelection { start_event: bound(2), end_event: bound(4), ..everything.clone() };
        assert_eq!(found(events_between).await, ids[2..=4]);
        let kinds =
            ReplaySelection { event_types: vec![EventType::KeyRotated], ..everything.clone() };
        assert_eq!(found(kinds).await, [ids[1], ids[3], ids[5]]);
        assert_eq!(events(&fixture, &everything, made[3].2).await, ids[..3]);
    }
    // Of failed deliveries it is the time of the last attempt that counts.
    let store = fixture.store();
    let waiting = due(&fixture, endpoint, DueKey::MIN, 9).await;
    let mut begun = Vec::new();
    for delivery in &waiting {
        let id = delivery.id;
        while fixture.delivery(id).await.state != DeliveryState::Failed {
            fixture.advance(Duration::from_millis(2)).await;
            let row = fixture.delivery(id).await;
            let details = keeptrusts_webhooks_domain::attempt::AttemptDetails {
                id: keeptrusts_webhooks_domain::ids::AttemptId::new(crate::ids::new_ulid(
                    fixture.now(),
                )),
                ..attempt_of(&row, fixture.now())
            };
            fixture.append(conclude(&row, details, failure())).await;
        }
        begun.push(fixture.now());
    }
    assert!(store.count_waiting(SHARD).await.expect("reads") == 0);
    let since = ReplaySelection {
        start_time: Some(begun[2] + Duration::from_micros(1)),
        ..replay_selection(endpoint, ReplayScope::Failed)
    };
    let expected: Vec<_> = waiting[3..].iter().map(|delivery| delivery.event_id).collect();
    let mut found = events(&fixture, &since, END).await;
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// Appends a fact to a replay's stream.
pub(crate) fn change_replay(
    id: ReplayId,
    expected: ExpectedVersion,
    fact: ReplayFact,
) -> Operation {
    operation(Stream::Replay(id), expected, Fact::Replay(fact))
}

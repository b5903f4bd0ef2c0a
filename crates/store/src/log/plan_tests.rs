//! Properties of plans that the conformance suite cannot see.

use std::time::Duration;

use keeptrusts_webhooks_domain::limits::REQUEST_ID_LIFETIME;

use super::*;
use crate::log::count_limit::Counted;
use crate::testing::conformance::given::*;

#[test]
fn a_read_set_has_each_key_once_for_each_organization() {
    let operations = [
        publish(event_id()),
        publish_with_key(event_id(), "b", "content"),
        publish_with_key(event_id(), "a", "content"),
        publish_with_key(event_id(), "a", "other content"),
        publish_with_key(event_id(), "a", "content").of(other_organization()),
    ];
    let wanted = ReadSet::of(&operations);
    let keys: Vec<_> =
        wanted.keys.iter().map(|(whose, key)| (whose.as_str(), key.as_str())).collect();
    assert_eq!(keys, [("acme", "a"), ("acme", "b"), ("globex", "a")]);
    assert_eq!(wanted.affected, AffectedRows::default());
}

#[test]
fn a_lost_lease_is_refused_before_anything_else() {
    let operation = rename_endpoint(endpoint_id(), version(3), "absent").advancing(5, 6);
    let operations = [operation.clone().fenced(Epoch(1)), operation.fenced(Epoch(2))];
    let locked = LockedShard { epoch: Epoch(2), ..LockedShard::default() };
    let plan = plan(&operations, locked, Timestamp::UNIX_EPOCH).expect("the log is sound");
    let lost = Refusal::LeaseLost { expected: Epoch(1), actual: Epoch(2) };
    let out_of_order = Refusal::OutOfOrder { expected: Position(5), actual: Position(0) };
    assert_eq!(plan.results, [Err(lost), Err(out_of_order)]);
}

#[test]
fn a_plan_of_refusals_writes_nothing() {
    let absent = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent").advancing(3, 9);
    let operations =
        [absent.with_body(crate::BodyId::Event(event_id()), "never written", Timestamp::MAX)];
    let locked = LockedShard {
        last_position: Position(7),
        checkpoint: Position(3),
        ..LockedShard::default()
    };
    let plan = plan(&operations, locked, Timestamp::UNIX_EPOCH).expect("the log is sound");
    assert!(plan.records.is_empty() && plan.bodies.is_empty());
    assert!(plan.changes.endpoints.is_empty());
    assert_eq!((plan.last_position, plan.checkpoint), (Position(7), Position(3)));
}

#[test]
fn only_operations_with_a_request_read_recorded_requests() {
    let create = |id| create_endpoint(endpoint_id()).requested(id, "content");
    let without = [create_endpoint(endpoint_id()), publish_with_key(event_id(), "a", "content")];
    assert_eq!(ReadSet::of(&without).requests, []);
    let with = [create("b"), create("a"), create("a"), create("a").of(other_organization())];
    let wanted = ReadSet::of(&with).requests;
    let wanted: Vec<_> = wanted.iter().map(|(whose, id)| (whose.as_str(), id.as_str())).collect();
    assert_eq!(wanted, [("acme", "a"), ("acme", "b"), ("globex", "a")]);
}

#[test]
fn only_operations_with_a_limit_count_anything() {
    let limited = |counted| {
        let limits = vec![CountLimit { counted, max: 1 }];
        Operation { limits, ..create_endpoint(endpoint_id()) }
    };
    let without = [create_endpoint(endpoint_id()), publish_with_key(event_id(), "a", "content")];
    assert_eq!(ReadSet::of(&without).counts, []);
    let with = [limited(Counted::Channels), limited(Counted::Endpoints)];
    let again = limited(Counted::Endpoints);
    let theirs = limited(Counted::Endpoints).of(other_organization());
    let wanted = ReadSet::of(&[&with[..], &[again, theirs]].concat()).counts;
    let wanted: Vec<_> = wanted.iter().map(|(whose, what)| (whose.as_str(), *what)).collect();
    let (endpoints, channels) = (Counted::Endpoints, Counted::Channels);
    assert_eq!(wanted, [("acme", endpoints), ("acme", channels), ("globex", endpoints)]);
}

#[test]
fn a_recorded_request_is_judged_by_the_time_of_the_batch() {
    let first = Stream::Endpoint(endpoint_id());
    let time = Timestamp::UNIX_EPOCH;
    let planned = |content: &str, now| {
        let recorded = RecordedRequest {
            organization_id: organization(),
            request: identified("r", "content"),
            stream: first,
            time,
        };
        let locked = LockedShard { requests: vec![recorded], ..LockedShard::default() };
        let operations = [create_endpoint(endpoint_id()).requested("r", content)];
        let plan = plan(&operations, locked, now).expect("the log is sound");
        (plan.results[0].clone(), plan.changes.requests.len())
    };
    let over = time + REQUEST_ID_LIFETIME;
    let last = over - Duration::from_micros(1);
    assert_eq!(planned("content", last), (Ok(AppendOutcome::Repeated { stream: first }), 0));
    assert_eq!(planned("other content", last), (Err(Refusal::RequestIdReused), 0));
    for content in ["content", "other content"] {
        let (result, rows) = planned(content, over);
        assert!(matches!(result, Ok(AppendOutcome::Appended { .. })), "{result:?}");
        assert_eq!(rows, 1, "the row is replaced");
    }
}

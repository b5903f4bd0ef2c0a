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

/// An operation that accepts an event, and where it goes if the batch begins after `as_of`.
fn publish_routed(as_of: i64, epoch: i64) -> Operation {
    let id = event_id();
    let Fact::DeliveriesScheduled(scheduled) =
        schedule(id, &[(delivery_id(), endpoint_id())], &[]).records[0].fact.clone()
    else {
        panic!("it schedules");
    };
    let routing = Routing {
        as_of: Position(as_of),
        epoch: Epoch(epoch),
        scheduled,
        metadata: Metadata { actor: "dispatch".to_owned(), ..Metadata::default() },
        acted_on: Position(5),
    };
    Operation { routing: Some(routing), ..publish(id) }
}

#[test]
fn invariant_2_an_event_is_routed_with_its_acceptance_if_the_shard_is_as_it_was_decided_for() {
    let locked = || LockedShard {
        last_position: Position(7),
        checkpoint: Position(3),
        epoch: Epoch(2),
        ..LockedShard::default()
    };
    // How many records a batch appends, and how many of its events are routed.
    for (what, operations, records, routed) in [
        ("as decided", vec![publish_routed(7, 2)], 2, 1),
        ("two", vec![publish_routed(7, 2), publish_routed(7, 2)], 4, 2),
        ("others have appended", vec![publish_routed(6, 2)], 1, 0),
        ("another owner", vec![publish_routed(7, 1)], 1, 0),
        (
            "an endpoint has changed before",
            vec![publish_routed(7, 2), create_endpoint(endpoint_id()), publish_routed(7, 2)],
            4,
            1,
        ),
    ] {
        let plan = plan(&operations, locked(), Timestamp::UNIX_EPOCH).expect("the log is sound");
        assert_eq!(plan.records.len(), records, "{what}");
        let is_routed = |record: &&Record| matches!(&record.fact, Fact::EventAccepted(accepted) if accepted.is_routed);
        assert_eq!(plan.records.iter().filter(is_routed).count(), routed, "{what}");
        assert_eq!(plan.changes.new_deliveries.len(), routed, "{what}");
        let checkpoint = if routed > 0 { 5 } else { 3 };
        assert_eq!(plan.checkpoint, Position(checkpoint), "{what}");
    }
    let operations = [publish_routed(7, 2)];
    let plan = plan(&operations, locked(), Timestamp::UNIX_EPOCH).expect("the log is sound");
    let [accepted, routed] = &plan.records[..] else { panic!("two records") };
    assert_eq!((routed.stream, routed.version), (accepted.stream, Version(2)));
    assert_eq!(routed.position, Position(9));
    assert_eq!(routed.operation_id, accepted.operation_id);
    assert_eq!(routed.metadata.causation, Some(Position(8)));
    assert_eq!((&*accepted.metadata.actor, &*routed.metadata.actor), ("", "dispatch"));
    let whole = AppendOutcome::Appended {
        first: Position(8),
        last: Position(9),
        recorded_at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(plan.results, [Ok(whole)]);
}

#[test]
fn invariant_2_a_checkpoint_moves_forwards_and_passes_nothing_over() {
    // The checkpoint is at 3, or between the positions that the operation knows.
    for (from, to, is_moved) in
        [(3, 6, true), (2, 6, true), (0, 4, true), (4, 6, false), (2, 3, false), (0, 1, false)]
    {
        let locked = LockedShard {
            last_position: Position(7),
            checkpoint: Position(3),
            ..LockedShard::default()
        };
        let operations = [publish(event_id()).advancing(from, to)];
        let plan = plan(&operations, locked, Timestamp::UNIX_EPOCH).expect("the log is sound");
        assert_eq!(plan.results[0].is_ok(), is_moved, "{from} to {to}");
        assert_eq!(plan.checkpoint, Position(if is_moved { to } else { 3 }), "{from} to {to}");
    }
}

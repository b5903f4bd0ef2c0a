//! Properties of plans that the conformance suite cannot see.

use super::*;
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

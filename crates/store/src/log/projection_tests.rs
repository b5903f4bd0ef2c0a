use super::*;
use crate::log::operation::{ExpectedVersion, Operation};
use crate::log::plan::{LockedShard, plan};
use crate::testing::conformance::given::*;

/// The records of operations that are appended to an empty log.
fn records(operations: &[Operation]) -> Vec<Record> {
    let plan = plan(operations, LockedShard::default(), Timestamp::UNIX_EPOCH);
    plan.expect("the log is sound").records
}

#[test]
fn only_rows_that_exist_already_are_loaded() {
    let (endpoint, delivery) = (endpoint_id(), delivery_id());
    let us = organization();
    let operations = [
        create_endpoint(endpoint_id()),
        publish(event_id()),
        schedule(event_id(), &[(delivery_id(), endpoint_id())], &[endpoint_id()]),
        request_test(delivery_id(), event_id(), endpoint_id()),
        rename_endpoint(endpoint, ExpectedVersion::Any, "one"),
        rename_endpoint(endpoint, ExpectedVersion::Any, "two"),
        change_delivery(delivery, ExpectedVersion::Any, DeliveryFact::RetryRequested),
    ];
    let facts = operations.iter().map(|operation| {
        let record = &operation.records[0];
        (&operation.organization_id, record.stream, &record.fact)
    });
    let expected = AffectedRows {
        deliveries: vec![(us.clone(), delivery)],
        endpoints: vec![(us, endpoint)],
        ..AffectedRows::default()
    };
    assert_eq!(AffectedRows::of(facts), expected);
}

#[test]
fn a_record_of_an_entity_that_does_not_exist_is_a_broken_log() {
    let endpoint = endpoint_id();
    let operations = [create_endpoint(endpoint), rename_endpoint(endpoint, version(1), "renamed")];
    let records = records(&operations);
    let error = Fold::default().apply(&records[1]).expect_err("its endpoint was never created");
    assert_eq!(
        error.to_string(),
        format!("record 2 (endpoint/{endpoint}) follows from nothing in the log")
    );

    let in_a_wrong_stream = Record { stream: Stream::Event(event_id()), ..records[0].clone() };
    Fold::default().apply(&in_a_wrong_stream).expect_err("events are not created like that");
}

#[test]
fn a_row_that_a_batch_creates_and_changes_is_inserted_in_its_last_state() {
    let (event, endpoint, delivery) = (event_id(), endpoint_id(), delivery_id());
    let cancelled = DeliveryFact::Cancelled { reason: "why not".to_owned() };
    let operations = [
        publish(event),
        schedule(event, &[(delivery, endpoint)], &[]),
        change_delivery(delivery, version(0), cancelled),
    ];
    let mut fold = Fold::default();
    records(&operations).iter().for_each(|record| fold.apply(record).expect("sound"));
    let changes = fold.into_changes();
    assert_eq!(changes.new_deliveries[&delivery].state, DeliveryState::Cancelled);
    assert!(changes.changed_deliveries.is_empty());
}

#[test]
fn hours_begin_on_the_hour_before_1970_too() {
    let hour = |text: &str| hour_of(time(text)).to_string();
    assert_eq!(hour("2026-04-23T10:59:59.999999Z"), "2026-04-23T10:00:00Z");
    assert_eq!(hour("2026-04-23T11:00:00Z"), "2026-04-23T11:00:00Z");
    assert_eq!(hour("1969-12-31T23:59:59Z"), "1969-12-31T23:00:00Z");
}

#[test]
fn the_last_request_with_an_id_is_kept() {
    let (first, second) = (endpoint_id(), endpoint_id());
    let mut records =
        records(&[create_endpoint(first).requested("r", "content"), create_endpoint(second)]);
    // Records of a log of more than a day.
    records[1].metadata.request = Some(identified("r", "other content"));
    records[1].recorded_at = time("2026-04-23T10:30:00Z");
    let owner = (organization(), identified("r", "").id);
    let mut fold = Fold::default();
    for (record, endpoint) in records.iter().zip([first, second]) {
        fold.apply(record).expect("sound");
        let row = fold.request(&owner).expect("it is kept");
        let expected = (Stream::Endpoint(endpoint), record.recorded_at);
        assert_eq!((row.stream, row.time), expected);
    }
    let changes = fold.into_changes();
    assert_eq!(changes.requests.len(), 1);
    assert_eq!(changes.requests[&owner].request, identified("r", "other content"));
}

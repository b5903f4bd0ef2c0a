//! Requests with an id: for a day, sending the same again does nothing, and another one is refused.

use std::time::Duration;

use keeptrusts_webhooks_domain::limits::REQUEST_ID_LIFETIME;
use keeptrusts_webhooks_domain::log::{Epoch, Position, Stream};
use keeptrusts_webhooks_domain::request::{RecordedRequest, RequestId};

use super::Fixture;
use super::given::*;
use crate::log::operation::{AppendOutcome, ExpectedVersion, Operation, Refusal};

fn create(id: &str, content: &str) -> (Stream, Operation) {
    let endpoint = endpoint_id();
    (Stream::Endpoint(endpoint), create_endpoint(endpoint).requested(id, content))
}

fn repeated(stream: Stream) -> Result<AppendOutcome, Refusal> {
    Ok(AppendOutcome::Repeated { stream })
}

async fn recorded(fixture: &Fixture, id: &str) -> Option<RecordedRequest> {
    let id = RequestId::optional(id.to_owned()).expect("an id").expect("not empty");
    let found = fixture.other_store().recorded_request(SHARD, &organization(), &id).await;
    found.expect("the request is read")
}

async fn differences(fixture: &Fixture) -> usize {
    fixture.store().check(SHARD, 10, &|_| ()).await.expect("checks").len()
}

pub(crate) async fn the_same_request_does_nothing_and_names_what_the_first_made(fixture: Fixture) {
    let (first, operation) = create("r", "content");
    let records = fixture.append(operation).await;
    for store in &fixture.stores {
        let (_, again) = create("r", "content");
        let appended = store.append(SHARD, &[again]).await.expect("appends");
        assert_eq!(appended.results, [repeated(first)]);
        assert!(appended.records.is_empty());
    }
    assert_eq!(fixture.last_position().await, Position(1));
    let row = recorded(&fixture, "r").await.expect("it is recorded");
    assert_eq!((row.stream, row.time), (first, records[0].recorded_at));
    assert_eq!(row.request, identified("r", "content"));
    assert_eq!(recorded(&fixture, "R").await, None, "ids are compared byte by byte");
}

pub(crate) async fn another_request_with_the_same_id_is_refused(fixture: Fixture) {
    let (first, operation) = create("r", "content");
    fixture.append(operation).await;
    let (_, other) = create("r", "other content");
    assert_eq!(fixture.results(&[other]).await, [Err(Refusal::RequestIdReused)]);
    // Neither the first request nor its repetitions are forgotten.
    let (_, again) = create("r", "content");
    assert_eq!(fixture.results(&[again]).await, [repeated(first)]);
    assert_eq!(fixture.last_position().await, Position(1));
}

pub(crate) async fn organizations_may_use_the_same_id(fixture: Fixture) {
    let (ours, operation) = create("r", "content");
    fixture.append(operation).await;
    let (theirs, operation) = create("r", "other content");
    fixture.append(operation.of(other_organization())).await;
    let (_, our_repetition) = create("r", "content");
    let (_, their_repetition) = create("r", "other content");
    let batch = [our_repetition, their_repetition.of(other_organization())];
    assert_eq!(fixture.results(&batch).await, [repeated(ours), repeated(theirs)]);
}

pub(crate) async fn an_id_used_twice_in_one_batch_makes_one_thing(fixture: Fixture) {
    let (first, operation) = create("r", "content");
    let batch = [operation, create("r", "content").1, create("r", "other").1];
    let appended = fixture.store().append(SHARD, &batch).await.expect("appends");
    assert!(matches!(appended.results[0], Ok(AppendOutcome::Appended { .. })));
    assert_eq!(appended.results[1..], [repeated(first), Err(Refusal::RequestIdReused)]);
    assert_eq!(appended.records.len(), 1);
}

pub(crate) async fn a_repetition_is_no_conflict_although_the_entity_has_changed(fixture: Fixture) {
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let rename = || rename_endpoint(endpoint, version(1), "renamed").requested("r", "rename");
    fixture.append(rename()).await;
    fixture.append(rename_endpoint(endpoint, ExpectedVersion::Any, "again")).await;
    assert_eq!(fixture.results(&[rename()]).await, [repeated(Stream::Endpoint(endpoint))]);
    assert_eq!(fixture.endpoint(endpoint).await.config.display_name, "again");
}

pub(crate) async fn a_refused_request_leaves_its_id_unused(fixture: Fixture) {
    let absent = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent");
    let batch = [absent.requested("r", "content"), create("s", "content").1.fenced(Epoch(99))];
    assert!(fixture.results(&batch).await.iter().all(Result::is_err));
    assert_eq!(recorded(&fixture, "r").await, None);
    fixture.append_all(&[create("r", "other content").1, create("s", "other content").1]).await;
}

pub(crate) async fn invariant_7_requests_are_still_known_after_a_rebuild(fixture: Fixture) {
    let (first, operation) = create("r", "content");
    fixture.append_all(&[operation, create("s", "content").1]).await;
    let before = recorded(&fixture, "r").await;
    assert_eq!(differences(&fixture).await, 0);
    fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    assert_eq!(recorded(&fixture, "r").await, before);
    assert_eq!(fixture.results(&[create("r", "content").1]).await, [repeated(first)]);
}

pub(crate) async fn after_a_day_an_id_may_be_used_for_something_else(fixture: Fixture) {
    // A database's own clock cannot be set; there the row is made older. The rule is the plan's.
    let Some(clock) = fixture.clock() else {
        return after_a_day_by_the_databases_clock(&fixture).await;
    };
    let (first, operation) = create("r", "content");
    fixture.append(operation).await;
    clock.advance(REQUEST_ID_LIFETIME - Duration::from_micros(1));
    assert_eq!(fixture.results(&[create("r", "content").1]).await, [repeated(first)]);
    clock.advance(Duration::from_micros(1));
    let (second, operation) = create("r", "other content");
    fixture.append(operation).await;
    assert_eq!(fixture.results(&[create("r", "other content").1]).await, [repeated(second)]);
    assert_eq!(fixture.results(&[create("r", "content").1]).await, [Err(Refusal::RequestIdReused)]);
    assert_eq!(differences(&fixture).await, 0, "the later use replaces the row");
}

async fn after_a_day_by_the_databases_clock(fixture: &Fixture) {
    use super::Damage;
    let age = |statement| fixture.damage(Damage::Statement(statement));
    let (first, operation) = create("r", "content");
    fixture.append(operation).await;
    // 24 hours less a minute, then another two minutes.
    assert!(age("UPDATE requests SET recorded_at = recorded_at - 86340000000").await);
    assert_eq!(fixture.results(&[create("r", "content").1]).await, [repeated(first)]);
    assert!(age("UPDATE requests SET recorded_at = recorded_at - 120000000").await);
    let (second, operation) = create("r", "other content");
    fixture.append(operation).await;
    assert_eq!(fixture.results(&[create("r", "other content").1]).await, [repeated(second)]);
    assert_eq!(differences(fixture).await, 0, "the later use replaces the row");
}

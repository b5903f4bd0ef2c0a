//! Bodies: there with their record, gone when they expire.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::{Epoch, Shard};

use super::Fixture;
use super::given::*;
use crate::log::operation::{BodyId, Operation};

const LONG: Duration = Duration::from_secs(3_600);

fn with_body(content: &[u8], expire_time: Timestamp) -> (BodyId, Operation) {
    let event = event_id();
    let id = BodyId::Event(event);
    (id, publish(event).with_body(id, content.to_vec(), expire_time))
}

async fn read(fixture: &Fixture, ids: &[BodyId]) -> HashMap<BodyId, Bytes> {
    fixture.other_store().bodies(SHARD, ids).await.expect("bodies are read")
}

pub(crate) async fn bodies_of_every_size_are_read_back_byte_for_byte(fixture: Fixture) {
    let expire_time = fixture.now() + LONG;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1024 * 1024).map(|index: u32| (index % 251) as u8).collect();
    let contents = [&b""[..], b"{\"data\":1}", &every_byte, &large];
    let (ids, operations): (Vec<_>, Vec<_>) =
        contents.iter().map(|content| with_body(content, expire_time)).unzip();
    fixture.append_all(&operations).await;

    let bodies = read(&fixture, &ids).await;
    for (id, content) in ids.iter().zip(contents) {
        assert_eq!(bodies.get(id).map(Bytes::as_ref), Some(content));
    }
}

pub(crate) async fn an_attempts_body_and_an_events_body_are_told_apart(fixture: Fixture) {
    let expire_time = fixture.now() + LONG;
    let id = attempt_id();
    let attempt = BodyId::Attempt(id);
    let event_of_the_same_ulid = BodyId::Event(EventId::new(id.ulid()));
    let operation = publish(event_id())
        .with_body(event_of_the_same_ulid, "of the event", expire_time)
        .with_body(attempt, "of the attempt", expire_time);
    fixture.append(operation).await;
    let bodies = read(&fixture, &[event_of_the_same_ulid, attempt]).await;
    assert_eq!(bodies[&event_of_the_same_ulid], "of the event");
    assert_eq!(bodies[&attempt], "of the attempt");
}

pub(crate) async fn only_requested_bodies_that_exist_are_returned(fixture: Fixture) {
    let expire_time = fixture.now() + LONG;
    let (asked, first) = with_body(b"first", expire_time);
    let (_, second) = with_body(b"second", expire_time);
    fixture.append_all(&[first, second]).await;
    assert!(read(&fixture, &[]).await.is_empty());
    let bodies = read(&fixture, &[BodyId::Event(event_id()), asked, asked]).await;
    assert_eq!(bodies, HashMap::from([(asked, Bytes::from_static(b"first"))]));
    if fixture.store().shard_count() > 1 {
        let elsewhere = fixture.store().bodies(Shard(1), &[asked]).await.expect("reads");
        assert!(elsewhere.is_empty(), "another shard has bodies of its own");
    }
}

pub(crate) async fn bodies_of_refused_and_duplicate_operations_are_not_kept(fixture: Fixture) {
    let expire_time = fixture.now() + LONG;
    let keyed = |content: &'static str| {
        let event = event_id();
        let id = BodyId::Event(event);
        (id, publish_with_key(event, "key", "same").with_body(id, content, expire_time))
    };
    let ((first_id, first), (duplicate_id, duplicate)) = (keyed("first"), keyed("duplicate"));
    let (refused_id, refused) = with_body(b"refused", expire_time);
    fixture.results(&[first, duplicate, refused.fenced(Epoch(5))]).await;
    let bodies = read(&fixture, &[first_id, duplicate_id, refused_id]).await;
    assert_eq!(bodies.keys().collect::<Vec<_>>(), [&first_id]);
}

pub(crate) async fn an_expired_body_is_gone_before_it_is_deleted(fixture: Fixture) {
    let lifetime = Duration::from_millis(500);
    let expire_time = fixture.now() + lifetime;
    let (id, operation) = with_body(b"content", expire_time);
    fixture.append(operation).await;
    let bodies = read(&fixture, &[id]).await;
    assert!(bodies.contains_key(&id) || fixture.now() >= expire_time);
    fixture.advance(lifetime).await;
    let fixture = &fixture;
    fixture
        .eventually("the body expires", || async move {
            read(fixture, &[id]).await.is_empty().then_some(())
        })
        .await;
    assert_eq!(fixture.log().await.len(), 1, "records do not expire");
}

pub(crate) async fn expired_bodies_are_deleted_a_limited_number_at_a_time(fixture: Fixture) {
    let (past, future) = (fixture.now() - LONG, fixture.now() + LONG);
    let (kept_id, kept) = with_body(b"kept", future);
    let mut operations = vec![kept];
    operations.extend((0..10).map(|_| with_body(b"expired", past).1));
    fixture.append_all(&operations).await;

    let delete = |limit| fixture.store().delete_expired_bodies(SHARD, limit);
    assert_eq!(delete(4).await.expect("deletes"), 4);
    assert_eq!(delete(4).await.expect("deletes"), 4);
    assert_eq!(delete(4).await.expect("deletes"), 2);
    assert_eq!(delete(4).await.expect("deletes"), 0);
    assert!(read(&fixture, &[kept_id]).await.contains_key(&kept_id));
    assert_eq!(fixture.log().await.len(), 11, "retention deletes no record");
    let differences = fixture.store().check(SHARD, 10, &|_| ()).await.expect("checks");
    assert!(differences.is_empty(), "and changes no projection: {differences:?}");
}

pub(crate) async fn a_rebuild_leaves_bodies_alone(fixture: Fixture) {
    let (id, operation) = with_body(b"content", fixture.now() + LONG);
    fixture.append(operation).await;
    fixture.store().rebuild(SHARD, &|_| ()).await.expect("rebuilds");
    assert_eq!(read(&fixture, &[id]).await[&id], "content");
}

pub(crate) async fn only_the_organizations_bodies_are_erased_page_by_page(fixture: Fixture) {
    let expire_time = fixture.now() + LONG;
    let endpoint = endpoint_id();
    fixture.append(create_endpoint(endpoint)).await;
    let mut ours = Vec::new();
    for _ in 0..5 {
        let (event, delivery) = (event_id(), delivery_id());
        let id = BodyId::Event(event);
        fixture.append(publish(event).with_body(id, "of the event", expire_time)).await;
        fixture.append(schedule(event, &[(delivery, endpoint)], &[])).await;
        let delivery = fixture.delivery(delivery).await;
        let made = attempt_of(&delivery, fixture.now());
        let attempt = BodyId::Attempt(made.id);
        let concluded = conclude(&delivery, made, failure());
        fixture.append(concluded.with_body(attempt, "of the attempt", expire_time)).await;
        ours.extend([id, attempt]);
    }
    let (theirs, operation) = with_body(b"somebody else's", expire_time);
    fixture.append(operation.of(other_organization())).await;
    // One is gone already; the page that it was on is not the last one.
    let (_, expired) = with_body(b"expired", fixture.now() - LONG);
    fixture.append(expired).await;
    fixture.store().delete_expired_bodies(SHARD, 10).await.expect("deletes");

    let in_all = fixture.store().count_events_and_attempts(SHARD, &organization()).await;
    let (mut after, mut deleted, mut examined, mut pages) = (None, 0, 0, 0);
    loop {
        let erased = fixture.store().erase_bodies(SHARD, &organization(), after, 2).await;
        let erased = erased.expect("erases");
        assert!(erased.deleted <= 2);
        (deleted, pages) = (deleted + erased.deleted, pages + 1);
        examined += erased.examined;
        match erased.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(deleted, ours.len());
    assert!(pages <= 9, "{pages} pages");
    assert_eq!(in_all.expect("counts"), examined as u64);
    assert!(read(&fixture, &ours).await.is_empty());
    assert_eq!(read(&fixture, &[theirs]).await.len(), 1);

    let again = fixture.store().erase_bodies(SHARD, &organization(), None, 100).await;
    assert_eq!(again.expect("nothing is left").deleted, 0);
}

//! Reading the log: in pages, by stream, by shard, and by operation.

use keeptrusts_webhooks_domain::log::{Position, Shard, Stream, Version};

use super::Fixture;
use super::fixture::read_all;
use super::given::*;
use crate::log::operation::{ExpectedVersion, Refusal};
use crate::store::Store;

pub(crate) async fn the_log_is_read_in_pages(fixture: Fixture) {
    let endpoint = endpoint_id();
    let mut batch = vec![create_endpoint(endpoint)];
    batch.extend((0..9).map(|_| rename_endpoint(endpoint, ExpectedVersion::Any, "again")));
    batch.insert(5, publish(event_id()));
    let records = fixture.append_all(&batch).await;
    let store = fixture.other_store();

    let page = |after, limit| store.read(SHARD, Position(after), limit);
    assert_eq!(page(0, 4).await.expect("reads"), records[..4]);
    assert_eq!(page(4, 4).await.expect("reads"), records[4..8]);
    assert_eq!(page(8, 4).await.expect("reads"), records[8..]);
    assert!(page(11, 4).await.expect("reads").is_empty());
    assert!(page(1_000, 4).await.expect("reads").is_empty());

    let stream = Stream::Endpoint(endpoint);
    let versions = async |after, limit| {
        let records = store.read_stream(SHARD, stream, Version(after), limit).await;
        records.expect("reads").into_iter().map(|record| record.version.0).collect::<Vec<_>>()
    };
    assert_eq!(versions(0, 4).await, [1, 2, 3, 4]);
    assert_eq!(versions(4, 100).await, [5, 6, 7, 8, 9, 10]);
    assert!(versions(10, 4).await.is_empty());
    let absent = Stream::Endpoint(endpoint_id());
    assert!(store.read_stream(SHARD, absent, Version(0), 4).await.expect("reads").is_empty());
}

pub(crate) async fn shards_are_independent_logs(fixture: Fixture) {
    let store = fixture.store();
    let Some(other) = (store.shard_count() > 1).then_some(Shard(1)) else { return };
    let (endpoint, event) = (endpoint_id(), event_id());
    fixture.append(create_endpoint(endpoint)).await;
    let batch =
        [publish(event), rename_endpoint(endpoint, ExpectedVersion::Any, "another shard's")];
    let elsewhere = store.append(other, &batch).await.expect("appends");

    assert_eq!(elsewhere.results[1], Err(Refusal::NoSuchStream(Stream::Endpoint(endpoint))));
    assert_eq!(elsewhere.records[0].position, Position(1));
    assert_eq!(read_all(store, other).await, elsewhere.records);
    assert_eq!(fixture.log().await.len(), 1);
    assert_eq!(store.event(SHARD, &organization(), event).await.expect("reads"), None);
    assert!(store.event(other, &organization(), event).await.expect("reads").is_some());
    assert_eq!(store.endpoint(other, &organization(), endpoint).await.expect("reads"), None);
}

pub(crate) async fn each_shard_has_a_position_key_of_its_own_that_never_changes(fixture: Fixture) {
    let store = fixture.store();
    let key = async |store: &dyn Store, shard| store.position_key(shard).await.expect("reads");
    let before = key(store, SHARD).await;
    fixture.append(publish(event_id())).await;
    store.rebuild(SHARD, &|_| {}).await.expect("rebuilds");
    assert!(before == key(fixture.other_store(), SHARD).await, "another one");
    for other in (1..store.shard_count()).map(Shard) {
        assert!(before != key(store, other).await, "the same as that of shard {other}");
    }
}

pub(crate) async fn operations_are_found_by_their_ids_and_no_others_are(fixture: Fixture) {
    let first = publish_with_key(event_id(), "key", "content");
    let two = create_endpoint(endpoint_id()).and(create_endpoint(endpoint_id()));
    let duplicate = publish_with_key(event_id(), "key", "content");
    let refused = rename_endpoint(endpoint_id(), ExpectedVersion::Any, "absent");
    let never_sent = publish(event_id());
    let batch = [first.clone(), two.clone(), duplicate.clone(), refused.clone()];
    let results = fixture.results(&batch).await;
    let ids = [first.id, two.id, duplicate.id, refused.id, never_sent.id];
    let store = fixture.other_store();

    let found = store.find_operations(SHARD, Position::START, &ids).await.expect("finds");
    assert_eq!(found.len(), 2);
    assert_eq!(found.get(&first.id), results[0].as_ref().ok());
    assert_eq!(found.get(&two.id), results[1].as_ref().ok());

    let later = store.find_operations(SHARD, Position(1), &ids).await.expect("finds");
    assert_eq!(later.keys().collect::<Vec<_>>(), [&two.id]);
    assert!(store.find_operations(SHARD, Position(3), &ids).await.expect("finds").is_empty());
    assert!(store.find_operations(SHARD, Position::START, &[]).await.expect("finds").is_empty());
}

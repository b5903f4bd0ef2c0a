//! Full disks and cancelled callers.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::log::Position;
use tempfile::TempDir;
use ulid::Ulid;

use super::{open, run};
use crate::database_problem::DatabaseProblem;
use crate::error::StoreError;
use crate::log::operation::{BodyId, Operation};
use crate::store::Store;
use crate::testing::conformance::given::*;

fn publish_with_body(bytes: usize) -> Operation {
    let event = event_id();
    let expire_time = time("2100-01-01T00:00:00Z");
    publish(event).with_body(BodyId::Event(event), vec![b'x'; bytes], expire_time)
}

#[tokio::test]
async fn a_full_disk_is_reported_and_appends_go_on_on_conflict_is_room_again() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.append(SHARD, &[publish_with_body(100)]).await.expect("appends");
    for _ in 0..3 {
        // To SQLite this is a full disk. The limit ends with the connection.
        run(&store, "PRAGMA max_page_count = 1").await;
        let error = store.append(SHARD, &[publish_with_body(100_000)]).await.expect_err("full");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert_eq!(error.problem(), Some(DatabaseProblem::DiskFull), "{error:?}");
        store.append(SHARD, &[publish_with_body(100_000)]).await.expect("there is room again");
    }
    let log = store.read(SHARD, Position::START, 10).await.expect("reads");
    let positions: Vec<_> = log.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
}

#[tokio::test]
async fn a_full_disk_is_reported_for_writes_of_keys_too() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let uses: Vec<_> =
        (0..1_000).map(|number| (KeyId::new(Ulid(number)), Timestamp::MIN)).collect();
    run(&store, "PRAGMA max_page_count = 1").await;
    store.append(SHARD, &[publish_with_body(100_000)]).await.expect_err("full");
    assert_eq!(store.other_writes().failure(), None, "an append is told of by the log");
    run(&store, "PRAGMA max_page_count = 1").await;
    store.note_key_uses(&uses).await.expect_err("full");
    let failure = store.other_writes().failure().map(|failure| failure.problem);
    assert_eq!(failure, Some(DatabaseProblem::DiskFull));
}

#[tokio::test]
async fn a_record_that_the_log_has_already_fails_and_leaves_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    let event = event_id();
    store.append(SHARD, &[publish(event)]).await.expect("appends");
    // Only a defect creates an id twice.
    let error = store.append(SHARD, &[publish(event_id()), publish(event)]).await;
    let error = error.expect_err("the stream exists");
    assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    let state = store.shard_state(SHARD).await.expect("reads");
    assert_eq!(state.last_position, Position(1));
    store.append(SHARD, &[publish(event_id())]).await.expect("appends go on");
}

#[tokio::test]
async fn a_cancelled_rebuild_changes_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = Arc::new(open(&folder.path().join("webhooks.db")).await);
    let batch: Vec<_> = (0..3_000).map(|_| create_endpoint(endpoint_id())).collect();
    store.append(SHARD, &batch).await.expect("appends");
    for step in [1_000, 2_000, 3_000] {
        let (told, telling) = tokio::sync::watch::channel(Position::START);
        let rebuilding = Arc::clone(&store);
        let rebuild = tokio::spawn(async move {
            rebuilding.rebuild(SHARD, &|position| _ = told.send(position)).await
        });
        let mut telling = telling;
        let _ = telling.wait_for(|position| position.0 >= step).await;
        rebuild.abort();
        assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
    }
    store.append(SHARD, &[publish(event_id())]).await.expect("appends go on");
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
}

#[tokio::test]
async fn secrets_are_left_out_of_differences() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.append(SHARD, &[create_endpoint(endpoint_id())]).await.expect("appends");
    let damage = r#"
        UPDATE endpoints
        SET display_name = 'it''s', document = replace(document, '"ciphertext":"', '"ciphertext":"c0ffee')"#;
    run(&store, damage).await;
    let found = store.check(SHARD, 10, &|_| ()).await.expect("checks");
    assert_eq!(found.len(), 1);
    let stored = found[0].stored.as_deref().expect("the row stands");
    assert!(stored.starts_with(r#"organization_id="acme" endpoint_id="ep_"#), "{stored}");
    assert!(stored.contains(r#" display_name="it's" url="https://"#), "{stored}");
    assert!(stored.contains("ciphertext=\"(hidden)\""), "{stored}");
    assert!(!stored.to_lowercase().contains("c0ffee"), "{stored}");
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_a_difference_that_a_rebuild_repairs() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.append(SHARD, &[create_endpoint(endpoint_id())]).await.expect("appends");
    for damage in [
        "UPDATE endpoints SET document = CAST(x'7bff7d' AS TEXT)",
        "UPDATE endpoints SET display_name = CAST(x'61ff62' AS TEXT)",
    ] {
        run(&store, damage).await;
        let found = store.check(SHARD, 10, &|_| ()).await.expect("checks");
        let stored = found[0].stored.as_deref().expect("the row stands");
        let shows =
            stored.contains("is not UTF-8") || stored.contains("display_name=\"a\u{fffd}b\"");
        assert!(shows, "{stored}");
        store.rebuild(SHARD, &|_| ()).await.expect("rebuilds");
        assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
    }
}

#[tokio::test]
async fn a_document_version_beyond_32_bits_is_newer_and_no_damage_to_the_log() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.append(SHARD, &[create_endpoint(endpoint_id())]).await.expect("appends");
    run(&store, "UPDATE endpoints SET document_version = 2147483648").await;
    let is_newer = |error: &StoreError| matches!(error, StoreError::Newer { .. });
    assert!(store.rebuild(SHARD, &|_| ()).await.is_err_and(|error| is_newer(&error)));
    assert!(store.check(SHARD, 10, &|_| ()).await.is_err_and(|error| is_newer(&error)));
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder.path().join("webhooks.db")).await;
    store.close().await;
    let appended = store.append(SHARD, &[publish(event_id())]).await;
    assert!(appended.is_err_and(|error| error.is_transient()));
    let read = store.shard_state(SHARD).await;
    assert!(read.is_err_and(|error| error.is_transient()));
    tokio::time::timeout(Duration::from_secs(5), store.close()).await.expect("closed twice");
}

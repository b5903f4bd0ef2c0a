//! A second process that opens the database for administration.

use std::sync::Arc;

use keeptrusts_webhooks_domain::log::Position;
use tempfile::TempDir;

use super::{open, run};
use crate::log::Log;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::given::*;
use crate::vault::{DataKeyCreation, StoredDataKey, Vault, WrappedDataKey};

fn key(master_key_id: &str) -> WrappedDataKey {
    WrappedDataKey {
        data_key_id: "dk".to_owned(),
        master_key_id: master_key_id.to_owned(),
        nonce: vec![1; 12],
        ciphertext: b"wrapped".to_vec(),
    }
}

#[tokio::test]
async fn each_process_sees_what_the_other_writes_and_the_server_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("webhooks.db");
    let server = open(&path).await;
    server.claim_master_key("first").await.unwrap();
    server.append(SHARD, &[publish(event_id())]).await.unwrap();
    let administration =
        SqliteStore::open_for_administration(&path, SqliteOptions::default()).await.unwrap();
    assert_eq!(administration.shard_count(), server.shard_count());

    let created = server.create_data_key(SHARD, &organization(), &key("first")).await.unwrap();
    assert_eq!(created, DataKeyCreation::Has(StoredDataKey::Wrapped(key("first"))));
    assert_eq!(administration.count_data_keys(SHARD).await.unwrap()["first"], 1);
    server.replace_master_key("first", "second").await.unwrap();
    assert_eq!(administration.master_keys().await.unwrap().current.as_deref(), Some("second"));
    let stale =
        administration.create_data_key(SHARD, &other_organization(), &key("first")).await.unwrap();
    assert_eq!(stale, DataKeyCreation::NotCurrent(Some("second".to_owned())));

    administration.erase_data_key(SHARD, &organization()).await.unwrap();
    let found = server.data_keys(SHARD, &[organization()]).await.unwrap();
    assert_eq!(found[&organization()], StoredDataKey::Erased);
    server.append(SHARD, &[publish(event_id())]).await.unwrap();
    administration.close().await;
    server.append(SHARD, &[publish(event_id())]).await.unwrap();
    assert_eq!(server.shard_state(SHARD).await.unwrap().last_position.0, 3);

    let second = SqliteStore::open(&path, SqliteOptions::default()).await;
    let Err(OpenError::InUse { process_id, .. }) = second else { panic!("it is in use") };
    if cfg!(target_os = "linux") {
        assert_eq!(process_id, Some(std::process::id()), "the lock is the server's as before");
    }
}

#[tokio::test]
async fn followers_in_the_server_read_what_another_process_appends() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("webhooks.db");
    let log = Log::start(Arc::new(open(&path).await)).await.unwrap();
    log.append(SHARD, publish(event_id())).await.unwrap();
    let mut follower = log.follow(SHARD, Position::START);
    assert_eq!(follower.next(10).await.unwrap().len(), 1);
    let administration =
        SqliteStore::open_for_administration(&path, SqliteOptions::default()).await.unwrap();
    administration.append(SHARD, &[publish(event_id())]).await.unwrap();
    administration.close().await;
    log.append(SHARD, publish(event_id())).await.unwrap();
    let records = follower.next(10).await.unwrap();
    let positions: Vec<_> = records.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [2, 3], "in order, and without a gap");
}

#[tokio::test]
async fn a_dead_process_in_the_lock_file_is_not_named_as_the_holder() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("webhooks.db");
    let _server = open(&path).await;
    // As while a process starts and has not written its name yet.
    let lock_path = folder.path().join("webhooks.db.lock");
    std::fs::write(&lock_path, "process 1 (some, since before)").expect("written");
    let second = SqliteStore::open(&path, SqliteOptions::default()).await;
    let Err(OpenError::InUse { process_id, .. }) = second else { panic!("it is in use") };
    assert_ne!(process_id, Some(1));
}

#[tokio::test]
async fn only_a_database_with_the_same_tables_is_opened_for_administration() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("webhooks.db");
    let administration =
        async || SqliteStore::open_for_administration(&path, SqliteOptions::default()).await.err();
    assert!(matches!(administration().await, Some(OpenError::File { .. })), "there is none");
    assert!(!path.exists(), "and none is made");
    let server = open(&path).await;
    assert!(administration().await.is_none());
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)";
    run(&server, newer).await;
    assert!(matches!(administration().await, Some(OpenError::OtherVersion { .. })));
}

//! Which files are opened, and which are refused.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{open, run};
use crate::open_mode::OpenMode;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::given::*;
use crate::vault::Vault;

const LONG: Duration = Duration::from_secs(3_600);

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

async fn refusal(path: &Path) -> OpenError {
    match SqliteStore::open(path, SqliteOptions::default()).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn records_are_there_when_the_file_is_opened_again() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    let lease = store.acquire_lease(SHARD, "us", LONG).await.unwrap().expect("always granted");
    store.claim_master_key("the key").await.unwrap();
    let endpoint = endpoint_id();
    let batch = [create_endpoint(endpoint), publish(event_id()).fenced(lease.epoch)];
    let appended = store.append(SHARD, &batch).await.unwrap();
    store.close().await;

    let store = open(&path).await;
    assert_eq!(store.read(SHARD, Default::default(), 10).await.unwrap(), appended.records);
    let reader: &dyn Store = &store;
    assert!(reader.endpoint(SHARD, &organization(), endpoint).await.unwrap().is_some());
    assert_eq!(store.claim_master_key("another key").await.unwrap(), "the key");
    let again = store.acquire_lease(SHARD, "us", LONG).await.unwrap().expect("always granted");
    assert!(again.epoch > lease.epoch, "epochs go on growing");
    assert!(!store.renew_lease(lease, LONG).await.unwrap());
    let state = store.shard_state(SHARD).await.unwrap();
    assert_eq!((state.last_position.0, state.epoch), (2, again.epoch));
}

#[tokio::test]
async fn a_second_opening_is_refused_with_the_holder_and_what_to_do() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let options = SqliteOptions { program: "a-test".to_owned(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.expect("the database opens");
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::InUse { .. }));
    let message = error.to_string();
    let pid = std::process::id();
    for part in [&format!("process {pid} (a-test, since 20"), "webhooks.db", "postgres://"] {
        assert!(message.contains(part), "{message}");
    }
    store.append(SHARD, &[publish(event_id())]).await.expect("the first is not disturbed");

    store.close().await;
    open(&path).await.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn every_path_to_a_file_leads_to_the_same_lock() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let _store = open(&path).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let detour =
        folder.path().join("..").join(folder.path().file_name().unwrap()).join("webhooks.db");
    for other in [link, detour] {
        assert!(matches!(refusal(&other).await, OpenError::InUse { .. }), "{}", other.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_created_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("data/keeptrusts/webhooks.db");
    let store = open(&path).await;
    store.append(SHARD, &[publish(event_id())]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    let made = path.parent().unwrap();
    assert_eq!((mode(made), mode(made.parent().unwrap())), (0o700, 0o700));
    for entry in fs::read_dir(made).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_alone() {
    let folder = folder();
    let text = folder.path().join("notes.txt");
    let content = "Not a database, but long enough to have a header. ".repeat(200);
    fs::write(&text, &content).expect("written");
    let error = refusal(&text).await;
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"));
    assert_eq!(fs::read_to_string(&text).expect("read"), content);

    let foreign = folder.path().join("foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign);
    let options = options.create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("opens");
    sqlx::raw_sql("CREATE TABLE songs (name TEXT)").execute(&mut connection).await.unwrap();
    let error = refusal(&foreign).await;
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    let tables: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_schema")
        .fetch_all(&mut connection)
        .await
        .expect("reads");
    assert_eq!(tables, [("songs".to_owned(),)]);
    let (journal,): (String,) =
        sqlx::query_as("PRAGMA journal_mode").fetch_one(&mut connection).await.expect("reads");
    assert_eq!(journal, "delete", "as it was");
    let mut left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    left.sort_by_key(|entry| entry.file_name());
    let left: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["foreign.db", "notes.txt"], "nothing was left beside them");
}

#[tokio::test]
async fn an_opening_that_fails_leaves_nothing_behind() {
    let folder = folder();
    let data = folder.path().join("data");
    // The conflict is found only after the database was created.
    fs::create_dir_all(data.join("webhooks.db.lock")).expect("a folder");
    let error = refusal(&data.join("webhooks.db")).await;
    assert!(matches!(error, OpenError::File { action: "lock", .. }), "{error}");
    let left: Vec<_> = fs::read_dir(&data).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let new = folder.path().join("new/data");
    let error = refusal(&new.join("..")).await;
    assert!(matches!(error, OpenError::File { .. }), "{error}");
    assert!(!folder.path().join("new").exists());
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    open(&path).await.close().await;
    let mut bytes = fs::read(&path).expect("read");
    bytes[100..4_096].fill(0xff);
    fs::write(&path, bytes).expect("written");
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_versions_database_is_refused() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', TRUE, x'00', 0)";
    run(&store, newer).await;
    store.close().await;
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Newer { migration: 9_999, .. }), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn an_unreleased_versions_database_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    // As before the migrations were merged into one: there were thirteen.
    let unreleased = "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1;
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (13, 'openings', TRUE, x'00', 0)";
    run(&store, unreleased).await;
    store.close().await;
    let before = fs::read(&path).expect("read");
    for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::Unchanged] {
        let opened = SqliteStore::open_as(mode, &path, SqliteOptions::default()).await;
        let Err(error) = opened else { panic!("{mode:?} opened it") };
        assert!(matches!(error, OpenError::Unreleased { .. }), "{mode:?}: {error}");
        assert!(error.to_string().contains("make a new database"), "{error}");
    }
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("written");
    let error = refusal(&file.join("data/webhooks.db")).await;
    assert!(matches!(error, OpenError::File { .. }), "{error}");
    assert!(error.to_string().contains("cannot make the folder"), "{error}");
}

//! A file has one owner for as long as it is open, by whatever name it is reached.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::crashes::{first_answer, start_appending};
use super::{open, run};
use crate::error::StoreError;
use crate::sqlite::file_header::FileHeader;
use crate::sqlite::inspection::Inspection;
use crate::sqlite::lock::PriorState;
use crate::sqlite::lock_file::LockFileContent;
use crate::sqlite::recovery::Recovery;
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::given::*;

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

async fn refusal(path: &Path) -> OpenError {
    let opened = SqliteStore::open(path, SqliteOptions::default()).await;
    opened.err().expect("it is refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_in_another_folder_is_the_same_database() {
    let (folder, elsewhere) = (folder(), folder());
    let path = folder.path().join("webhooks.db");
    let link = elsewhere.path().join("other.db");
    let mut child = start_appending(&path);
    let _answers = first_answer(&mut child);
    fs::hard_link(&path, &link).expect("a link");

    let error = refusal(&link).await;
    let OpenError::InUse { process_id, .. } = &error else { panic!("{error}") };
    assert_eq!(*process_id, Some(child.id()), "{error}");
    let names = || fs::read_dir(elsewhere.path()).expect("a folder").count();
    assert_eq!(names(), 1, "nothing was made beside the link");

    // Commits that are not in the file yet are in the log beside the first name.
    child.kill().expect("SIGKILL is sent");
    child.wait().expect("the process ends");
    let error = refusal(&link).await;
    assert!(matches!(error, OpenError::AnotherName { names: 2, .. }), "{error}");
    assert_eq!(names(), 1);
    let store = open(&path).await;
    assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
    store.close().await;

    fs::remove_file(&path).expect("removed");
    open(&link).await.close().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_file_has_lost_its_name() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    let (log, aside) = (folder.path().join("webhooks.db-wal"), folder.path().join("aside"));
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    for name in [&path, &log] {
        fs::rename(name, &aside).expect("moved away");
        for _ in 0..2 {
            let refused = store.append(SHARD, &[publish(event_id())]).await;
            assert_replaced(refused.expect_err("the file is somewhere else"), name);
        }
        assert_replaced(store.table_versions().await.expect_err("not healthy"), name);
        let checked = store.check(SHARD, 10, &|_| ()).await;
        assert_replaced(checked.expect_err("of another file, perhaps"), name);

        // As when a backup is moved over it.
        fs::write(name, b"").expect("written");
        let refused = store.append(SHARD, &[publish(event_id())]).await;
        assert_replaced(refused.expect_err("another file has its name"), name);
        fs::rename(&aside, name).expect("moved back");
        store.append(SHARD, &[publish(event_id())]).await.expect("it goes on");
    }
    assert_eq!(store.shard_state(SHARD).await.expect("reads").last_position.0, 3);
}

fn assert_replaced(error: StoreError, name: &Path) {
    let StoreError::Unavailable(reason) = error else { panic!("{error}") };
    let reason = reason.to_string();
    assert!(reason.starts_with(&format!("{} was replaced or removed", name.display())), "{reason}");
}

#[tokio::test]
async fn a_broken_connection_is_not_replaced_by_one_to_another_file() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    run(&store, "PRAGMA max_page_count = 1").await;
    let event = event_id();
    let too_large = publish(event).with_body(
        crate::log::operation::BodyId::Event(event),
        vec![b'x'; 100_000],
        time("2100-01-01T00:00:00Z"),
    );
    store.append(SHARD, &[too_large]).await.expect_err("as if the disk were full");
    fs::rename(&path, folder.path().join("aside")).expect("moved away");
    fs::write(&path, b"").expect("written");
    let refused = store.append(SHARD, &[publish(event_id())]).await;
    assert_replaced(refused.expect_err("another file has its name"), &path);
    assert_eq!(fs::metadata(&path).expect("there").len(), 0, "it was left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_of_a_database_that_was_not_closed_is_noticed() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let mut child = start_appending(&path);
    let _answers = first_answer(&mut child);
    child.kill().expect("SIGKILL is sent");
    child.wait().expect("the process ends");
    let recovery = recovery(&path).await.expect("it was not closed");
    assert!(matches!(recovery, Recovery::Log { bytes: 1.., .. }), "{recovery:?}");
    open(&path).await.close().await;
    assert!(self::recovery(&path).await.is_none(), "it was closed");
    let lock_file = fs::read_to_string(folder.path().join("webhooks.db.lock")).expect("there");
    assert_eq!(lock_file, "", "nobody has it");
}

async fn recovery(path: &Path) -> Option<Recovery> {
    let header = FileHeader { is_empty: false, is_in_wal_mode: true };
    let lock_file = LockFileContent::default();
    let prior = PriorState { header, had_lock_file: true, lock_file };
    let inspection = Inspection::of(path, &prior).await.expect("the files can be read");
    Recovery::of(&inspection, None)
}

/// [`DatabaseLock::keep_in`](crate::sqlite::lock::DatabaseLock::keep_in) depends on it.
#[tokio::test]
async fn sqlite_frees_a_collation_after_it_has_closed_the_file() {
    struct Freed(std::path::PathBuf, std::sync::mpsc::Sender<usize>);
    impl Drop for Freed {
        fn drop(&mut self) {
            _ = self.1.send(open_descriptors(&self.0));
        }
    }
    let folder = folder();
    let path = folder.path().join("some.db");
    let (sender, freed) = std::sync::mpsc::channel();
    let guard = Freed(path.clone(), sender);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let options = options.collation("guard", move |left, right| {
        let _ = &guard;
        left.cmp(right)
    });
    let mut connection = options.connect().await.expect("opens");
    sqlx::query("CREATE TABLE t (x)").execute(&mut connection).await.expect("runs");
    assert!(open_descriptors(&path) > 0);
    drop((connection, options));
    let open = freed.recv_timeout(Duration::from_secs(30)).expect("the thread ends");
    assert_eq!(open, 0);
}

fn open_descriptors(path: &Path) -> usize {
    let file = fs::metadata(path).expect("there");
    let is_it = |entry: &fs::DirEntry| {
        fs::metadata(entry.path())
            .is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    fs::read_dir("/proc/self/fd").expect("Linux").flatten().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_keeps_the_lock_until_its_connections_are_closed() {
    let folder = folder();
    let path = folder.path().join("webhooks.db");
    let store = open(&path).await;
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
    drop(store);
    let opening_again = async {
        loop {
            match SqliteStore::open(&path, SqliteOptions::default()).await {
                Ok(store) => return store,
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let opened = tokio::time::timeout(Duration::from_secs(30), opening_again).await;
    let store = opened.expect("its threads have ended");
    assert_eq!(store.shard_state(SHARD).await.expect("reads").last_position.0, 1);
}

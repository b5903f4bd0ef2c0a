//! Files that are copied, moved, restored and lost, as operators do after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::KeyId;
use tempfile::TempDir;

use super::{open, run};
use crate::sqlite::{OpenError, SqliteOptions, SqliteStore};
use crate::store::Store;
use crate::testing::conformance::given::*;
use crate::vault::{RewrappedDataKey, Vault, WrappedDataKey};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with copies of a database's files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("webhooks.db")
    }

    fn log(&self) -> PathBuf {
        self.path("webhooks.db-wal")
    }

    fn lock_file(&self) -> PathBuf {
        self.path("webhooks.db.lock")
    }

    /// A copy of the files as a kill at this moment would leave them.
    fn after_a_kill(&self, with_lock_file: bool) -> Folder {
        let left = Folder::new();
        copy(&self.database(), &left.database());
        copy(&self.log(), &left.log());
        if with_lock_file {
            copy(&self.lock_file(), &left.lock_file());
        }
        left
    }

    /// Opens the database. A process that another test starts has a copy of every descriptor, and so
    /// the locks, until it runs its program.
    async fn open(&self) -> Result<SqliteStore, OpenError> {
        let opening = async {
            loop {
                match SqliteStore::open(&self.database(), SqliteOptions::default()).await {
                    Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                    opened => return opened,
                }
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.expect("nobody has it")
    }

    async fn refusal(&self) -> OpenError {
        self.open().await.err().expect("it is refused")
    }

    /// The database is refused each time, and nothing is changed.
    async fn assert_log_is_foreign(&self, what: &str) {
        let files = || [self.database(), self.log(), self.lock_file()].map(|it| fs::read(it).ok());
        let before = files();
        for _ in 0..2 {
            let error = self.refusal().await;
            assert!(matches!(error, OpenError::ForeignLog { .. }), "{what}: {error}");
            assert_eq!(files(), before, "{what}");
        }
    }

    /// The database is opened, is complete, and has so many records.
    async fn assert_records(&self, records: i64) {
        let store = self.open().await.expect("the database opens");
        let state = store.shard_state(SHARD).await.expect("reads");
        assert_eq!(state.last_position.0, records);
        assert_eq!(store.check(SHARD, 10, &|_| ()).await.expect("checks"), []);
        store.close().await;
    }
}

/// Closing a file's descriptor releases the process's SQLite locks on it. That does not matter here,
/// since no other process has the file open.
fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copied");
}

async fn publish_one(store: &SqliteStore) {
    store.append(SHARD, &[publish(event_id())]).await.expect("appends");
}

/// Moves the write-ahead log into the file. The next transaction begins a new round of it.
async fn checkpoint(store: &SqliteStore) {
    run(store, "PRAGMA wal_checkpoint(RESTART)").await;
}

#[tokio::test]
async fn the_files_of_a_process_that_was_killed_can_be_moved_to_another_machine() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    for records in 1..=3 {
        publish_one(&store).await;
        folder.after_a_kill(false).assert_records(records).await;
        folder.after_a_kill(true).assert_records(records).await;
        checkpoint(&store).await;
        folder.after_a_kill(false).assert_records(records).await;
    }
    store.close().await;
    let closed = Folder::new();
    copy(&folder.database(), &closed.database());
    closed.assert_records(3).await;
    folder.assert_records(3).await;
}

#[tokio::test]
async fn a_file_that_replaced_the_logs_own_is_refused() {
    let (folder, backups) = (Folder::new(), Folder::new());
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    store.close().await;
    copy(&folder.database(), &backups.path("closed"));
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    checkpoint(&store).await;
    copy(&folder.database(), &backups.path("of the round before"));
    publish_one(&store).await;
    checkpoint(&store).await;
    publish_one(&store).await;
    let vacuumed = backups.path("vacuumed");
    run(&store, &format!("VACUUM INTO '{}'", vacuumed.display())).await;
    publish_one(&store).await;

    let another = Folder::new();
    open(&another.database()).await.close().await;
    copy(&another.database(), &backups.path("another database"));
    let store_of_it = open(&another.database()).await;
    for _ in 0..4 {
        publish_one(&store_of_it).await;
    }
    store_of_it.close().await;
    copy(&another.database(), &backups.path("another one that counts alike"));
    fs::write(backups.path("empty"), "").expect("written");
    let tried = Folder::new();
    copy(&vacuumed, &tried.database());
    tried.assert_records(4).await;
    copy(&tried.database(), &backups.path("vacuumed and opened since"));

    for backup in fs::read_dir(backups.0.path()).expect("a folder") {
        let backup = backup.expect("an entry");
        for with_lock_file in [false, true] {
            let left = folder.after_a_kill(with_lock_file);
            copy(&backup.path(), &left.database());
            left.assert_log_is_foreign(&backup.file_name().to_string_lossy()).await;
        }
    }
    let left = folder.after_a_kill(true);
    fs::remove_file(left.database()).expect("removed");
    let error = left.refusal().await;
    assert!(matches!(error, OpenError::ForeignLog { .. }), "{error}");
    assert!(left.log().exists() && !left.database().exists(), "nothing is made, nothing is lost");

    // As the message advises.
    let left = folder.after_a_kill(true);
    copy(&backups.path("vacuumed"), &left.database());
    fs::remove_file(left.log()).expect("removed");
    fs::remove_file(left.lock_file()).expect("removed");
    left.assert_records(4).await;
    folder.after_a_kill(true).assert_records(5).await;
}

#[tokio::test]
async fn a_log_that_replaced_the_files_own_is_refused() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    let early = folder.after_a_kill(true);
    publish_one(&store).await;
    checkpoint(&store).await;
    publish_one(&store).await;
    let left = folder.after_a_kill(true);
    copy(&early.log(), &left.log());
    left.assert_log_is_foreign("an older log").await;
}

#[tokio::test]
async fn a_backup_of_the_logs_own_round_is_completed_by_it() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    checkpoint(&store).await;
    publish_one(&store).await;
    let backup = folder.after_a_kill(false);
    // As SQLite's online backup copies the pages.
    backup.assert_records(2).await;
    let backup = folder.after_a_kill(false);
    publish_one(&store).await;
    let left = folder.after_a_kill(true);
    copy(&backup.database(), &left.database());
    left.assert_records(3).await;
}

#[tokio::test]
async fn a_missing_log_is_reported_until_the_operator_accepts_the_loss() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    checkpoint(&store).await;
    publish_one(&store).await;

    let left = folder.after_a_kill(true);
    fs::remove_file(left.log()).expect("removed, as if it were temporary");
    let noted = fs::read(left.lock_file()).expect("there");
    for _ in 0..2 {
        let error = left.refusal().await;
        assert!(matches!(error, OpenError::LogIsGone { .. }), "{error}");
        assert_eq!(fs::read(left.lock_file()).expect("there"), noted);
    }
    fs::remove_file(left.lock_file()).expect("removed");
    left.assert_records(1).await;

    // Even if all commits were still in the log.
    let folder = Folder::new();
    let _store = open(&folder.database()).await;
    let left = folder.after_a_kill(true);
    fs::remove_file(left.log()).expect("removed");
    assert!(matches!(left.refusal().await, OpenError::LogIsGone { .. }));
}

#[tokio::test]
async fn a_failed_start_after_a_crash_leaves_the_log_for_the_next_one() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    publish_one(&store).await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)";
    run(&store, newer).await;
    let left = folder.after_a_kill(true);
    for _ in 0..3 {
        assert!(matches!(left.refusal().await, OpenError::Newer { .. }));
    }
}

#[tokio::test]
async fn a_file_whose_tables_are_all_in_a_log_somewhere_else_is_refused() {
    let folder = Folder::new();
    let made = "PRAGMA journal_mode = WAL; CREATE TABLE t (x); DROP TABLE t; VACUUM";
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.database());
    let options = options.create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("opens");
    sqlx::raw_sql(made).execute(&mut connection).await.expect("runs");
    sqlx::Connection::close(connection).await.expect("closes");
    let error = folder.refusal().await;
    assert!(matches!(error, OpenError::NoTables { .. }), "{error}");
    assert!(!folder.lock_file().exists(), "or the next start would take it for its own");

    fs::write(folder.lock_file(), "").expect("written");
    open(&folder.database()).await.close().await;
}

#[tokio::test]
async fn every_transaction_that_writes_counts_itself_once() {
    let folder = Folder::new();
    let store = open(&folder.database()).await;
    let counted = async || {
        let commits = sqlx::query_scalar("SELECT commits FROM shards").fetch_one(&store.readers);
        let commits: i64 = commits.await.expect("reads");
        commits
    };
    let (id, event) = (organization(), event_id());
    let key = WrappedDataKey {
        data_key_id: "dk".to_owned(),
        master_key_id: "first".to_owned(),
        nonce: vec![1; 12],
        ciphertext: b"wrapped".to_vec(),
    };
    let uses = [(KeyId::new(crate::ids::new_ulid(Timestamp::now())), Timestamp::now())];
    let rewrapped = RewrappedDataKey {
        organization_id: id.clone(),
        previous_master_key_id: "first".to_owned(),
        key: key.clone(),
    };
    let mut before = counted().await;
    macro_rules! counts {
        ($($call:expr),* $(,)?) => {$(
            $call.await.expect("it writes");
            let now = counted().await;
            assert_eq!(now, before + 1, stringify!($call));
            before = now;
        )*};
    }
    counts!(
        store.append(SHARD, &[publish(event)]),
        store.append(SHARD, &[publish(event_id()), publish(event_id())]),
        store.try_commit(SHARD),
        store.acquire_lease(SHARD, "us", Duration::from_secs(10)),
        store.note_key_uses(&uses),
        store.claim_master_key("first"),
        store.create_data_key(SHARD, &id, &key),
        store.rewrap_data_keys(SHARD, &[rewrapped]),
        store.replace_master_key("first", "second"),
        store.erase_data_key(SHARD, &id),
        store.delete_expired_bodies(SHARD, 10),
        store.erase_bodies(SHARD, &id, None, 10),
        store.rebuild(SHARD, &|_| ()),
    );
    assert_eq!(before, counted().await, "reading does not count");
}

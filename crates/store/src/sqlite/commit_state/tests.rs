//! What is read of databases that were closed, copied or torn.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::*;

/// The smallest database that has openings.
async fn small(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let options = options.busy_timeout(std::time::Duration::ZERO);
    let mut connection = options.connect().await.expect("opens");
    let make = "CREATE TABLE IF NOT EXISTS shards (shard INTEGER PRIMARY KEY,
                    last_position INTEGER NOT NULL DEFAULT 0, commits INTEGER NOT NULL DEFAULT 0,
                    opening TEXT, previous_opening TEXT, is_closed INTEGER NOT NULL DEFAULT 1);
                INSERT INTO shards (shard) VALUES (0) ON CONFLICT DO NOTHING";
    sqlx::raw_sql(make).execute(&mut connection).await.expect("makes");
    connection
}

/// A copy of the file without its log. This process loses SQLite's locks by it, which are not
/// needed: no other process has the file open.
fn copy_alone(path: &Path, name: &str) -> std::path::PathBuf {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).expect("copied");
    copy
}

async fn read_alone(path: &Path) -> Contents {
    Contents::read(SqliteConnectOptions::new().filename(path).immutable(true)).await
}

#[tokio::test]
async fn an_opening_begins_a_new_log_and_is_in_the_file_itself() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("some.db");
    let mut connection = small(&path).await;
    for (new, before) in [("A", None), ("B", Some("A"))] {
        let begun = begin_opening(&mut connection, new).await.expect("begins");
        assert_eq!(begun.as_deref(), Some(new));
        let Contents::Tables(state) = read_alone(&copy_alone(&path, new)).await else {
            panic!("all of it is in the file")
        };
        assert_eq!(state.opening.as_deref(), Some(new));
        assert_eq!(state.previous_opening.as_deref(), before);
        assert!(!state.is_closed);

        count_commit(&mut connection).await.expect("writes");
        assert!(end_log(&mut connection).await.expect("nobody reads"));
        let ended = read_alone(&copy_alone(&path, "ended")).await;
        assert!(ended.is_closed(), "a kill now leaves no log, and none is missing: {ended:?}");
    }
}

#[tokio::test]
async fn a_half_written_row_says_nothing() {
    const PAGE: usize = 4_096;
    const SECTOR: usize = 512;
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("some.db");
    let mut connection = small(&path).await;
    begin_opening(&mut connection, "01M8MQ9EDJT0Q1F3YECJ0477HV").await.expect("begins");
    let mut copies = Vec::new();
    for commits in [127, 128, 40_000] {
        let set = sqlx::query("UPDATE shards SET commits = ?, is_closed = TRUE").bind(commits);
        set.execute(&mut connection).await.expect("writes");
        assert!(end_log(&mut connection).await.expect("nobody reads"));
        let copy = copy_alone(&path, &commits.to_string());
        assert!(matches!(read_alone(&copy).await, Contents::Tables(_)));
        copies.push(std::fs::read(copy).expect("read"));
    }
    let root = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'shards'");
    let root: i64 = root.fetch_one(&mut connection).await.expect("reads");
    let begin = (root as usize - 1) * PAGE;
    for [before, after] in [[0, 1], [1, 0], [1, 2], [2, 1], [0, 2], [2, 0]] {
        let mut torn = copies[before].clone();
        let half = begin..begin + SECTOR;
        torn[half.clone()].copy_from_slice(&copies[after][half]);
        let path = folder.path().join("torn.db");
        std::fs::write(&path, torn).expect("written");
        assert_eq!(read_alone(&path).await, Contents::Unknown, "{before} {after}");
    }
}

#[tokio::test]
async fn the_current_opening_goes_on_while_somebody_reads() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("some.db");
    let mut connection = small(&path).await;
    begin_opening(&mut connection, "A").await.expect("begins");
    let mut reader = small(&path).await;
    sqlx::raw_sql("BEGIN; SELECT * FROM shards").execute(&mut reader).await.expect("reads");
    count_commit(&mut connection).await.expect("writes");
    let begun = begin_opening(&mut connection, "B").await.expect("goes on");
    assert_eq!(begun.as_deref(), Some("A"), "its log goes on as well");
}

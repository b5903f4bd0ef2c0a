//! Given what lies there, when it is judged, then it is opened or refused.

use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::*;

const WAL: Header = Header { is_empty: false, is_in_wal_mode: true };
const NOT_WAL: Header = Header { is_empty: false, is_in_wal_mode: false };
const EMPTY: Header = Header { is_empty: true, is_in_wal_mode: false };

/// A row with so many records and transactions, written by an opening after another one.
fn row(commits: i64, opening: &str, previous: &str) -> Known {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (opening, previous_opening) = (some(opening), some(previous));
    let last_position = commits;
    Known::Marks(Marks { last_position, commits, opening, previous_opening, is_closed: false })
}

fn closed(known: Known) -> Known {
    let Known::Marks(marks) = known else { panic!("it has our tables") };
    Known::Marks(Marks { is_closed: true, ..marks })
}

fn with_records(last_position: i64, known: Known) -> Known {
    let Known::Marks(marks) = known else { panic!("it has our tables") };
    Known::Marks(Marks { last_position, ..marks })
}

/// A file, and what it is with a log of so many transactions.
fn with_log(commits: u64, file: Known, both: Known) -> Found {
    let wal = Some(Wal { bytes: 1 << 20, commits });
    Found { header: WAL, wal, file, both, was_here: true, noted_opening: None }
}

/// A file without a log.
fn alone(file: Known, noted_opening: Option<&str>) -> Found {
    let noted_opening = noted_opening.map(str::to_owned);
    Found { header: WAL, wal: None, both: file.clone(), file, was_here: true, noted_opening }
}

#[test]
fn a_file_and_its_log_are_opened_whatever_of_the_log_is_in_the_file() {
    for in_file in 40..=50 {
        let found = with_log(10, row(in_file, "B", "A"), row(50, "B", "A"));
        assert_eq!(found.check(), Ok(()), "{in_file}");
    }
    // The first round of the log of an opening: the file is as the one before has left it.
    for previous in ["", "A"] {
        let found = with_log(10, closed(row(40, previous, "")), row(50, "B", previous));
        assert_eq!(found.check(), Ok(()), "{previous}");
    }
}

#[test]
fn a_log_of_another_state_of_the_file_is_refused() {
    for (what, file, both) in [
        ("an older backup", row(39, "B", "A"), row(50, "B", "A")),
        ("an older log", row(51, "B", "A"), row(50, "B", "A")),
        ("a backup of the opening before", row(39, "A", ""), row(50, "B", "A")),
        ("a backup of long ago", row(45, "A", ""), row(50, "C", "B")),
        ("another database, or another copy", row(45, "X", "A"), row(50, "B", "A")),
        ("a file from before the first opening", row(45, "", ""), row(50, "B", "A")),
        ("a log from before the first opening", row(45, "B", "A"), row(50, "", "")),
        (
            "fewer records with the log",
            with_records(300, row(45, "B", "A")),
            with_records(204, row(50, "B", "A")),
        ),
        ("a log from before there were tables", row(45, "B", "A"), Known::NoTables),
        ("a new file", Known::NoTables, row(50, "B", "A")),
        ("a file with other pages", closed(row(45, "X", "A")), Known::Nothing),
    ] {
        let found = with_log(10, file, both);
        assert_eq!(found.check(), Err(Mismatch::ForeignLog), "{what}");
    }
}

#[test]
fn a_log_beside_a_file_that_was_not_written_with_one_is_refused() {
    let same = || row(50, "B", "A");
    for header in [NOT_WAL, EMPTY] {
        let found = Found { header, ..with_log(10, same(), same()) };
        assert_eq!(found.check(), Err(Mismatch::ForeignLog), "{header:?}");
        let found = Found { header, ..with_log(0, same(), same()) };
        assert_eq!(found.check(), Ok(()), "nothing is in the log");
    }
}

#[test]
fn what_a_crash_leaves_of_first_starts_and_of_checkpoints_is_opened() {
    for (what, file, both) in [
        ("tables in the log", Known::NoTables, row(0, "", "")),
        ("a part of the tables in the log", Known::NoTables, Known::Nothing),
        ("no table yet", Known::NoTables, Known::NoTables),
        ("a page of two halves", Known::Nothing, row(50, "B", "A")),
        ("nothing that can be read", row(45, "B", "A"), Known::Nothing),
    ] {
        let found = with_log(10, file, both);
        assert_eq!(found.check(), Ok(()), "{what}");
    }
}

#[test]
fn a_log_that_is_gone_is_missed_where_the_file_was_open() {
    let open = || row(50, "B", "A");
    assert_eq!(alone(open(), Some("B")).check(), Err(Mismatch::LogIsGone));
    for (what, found) in [
        ("it was closed", alone(closed(open()), Some("B"))),
        ("it was open somewhere else", alone(open(), None)),
        ("a backup of another opening", alone(open(), Some("C"))),
        ("it has just been made", alone(row(0, "", ""), Some("B"))),
        (
            "a person's checkpoint has emptied it",
            Found { wal: Some(Wal { bytes: 0, commits: 0 }), ..alone(open(), Some("B")) },
        ),
    ] {
        assert_eq!(found.check(), Ok(()), "{what}");
    }
    assert!(alone(open(), None).is_a_copy());
    assert!(!alone(closed(open()), None).is_a_copy());
    assert!(!alone(row(0, "", ""), None).is_a_copy());
}

#[test]
fn a_file_without_tables_is_opened_only_where_it_was_made() {
    let found = |was_here, header| Found { was_here, header, ..alone(Known::NoTables, None) };
    assert_eq!(found(false, WAL).check(), Err(Mismatch::NoTables));
    assert_eq!(found(true, WAL).check(), Ok(()), "a first start that was killed");
    assert_eq!(found(false, EMPTY).check(), Ok(()), "as `touch` makes it");
}

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

/// The file without its log. No other process has it open: SQLite's locks, which this one loses,
/// are not needed.
fn copy_alone(path: &Path, name: &str) -> std::path::PathBuf {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).expect("copied");
    copy
}

async fn known_alone(path: &Path) -> Known {
    known(SqliteConnectOptions::new().filename(path).immutable(true)).await
}

#[tokio::test]
async fn an_opening_begins_a_new_log_and_is_in_the_file_itself() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("some.db");
    let mut connection = small(&path).await;
    for (new, before) in [("A", None), ("B", Some("A"))] {
        let begun = begin_opening(&mut connection, new).await.expect("begins");
        assert_eq!(begun.as_deref(), Some(new));
        let Known::Marks(marks) = known_alone(&copy_alone(&path, new)).await else {
            panic!("all of it is in the file")
        };
        assert_eq!(marks.opening.as_deref(), Some(new));
        assert_eq!(marks.previous_opening.as_deref(), before);
        assert!(!marks.is_closed);

        count_commit(&mut connection).await.expect("writes");
        assert!(end_log(&mut connection).await.expect("nobody reads"));
        let ended = known_alone(&copy_alone(&path, "ended")).await;
        assert!(ended.is_closed(), "a kill now leaves no log, and none is missing: {ended:?}");
    }
}

#[tokio::test]
async fn a_row_that_was_written_by_halves_says_nothing() {
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
        assert!(matches!(known_alone(&copy).await, Known::Marks(_)));
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
        assert_eq!(known_alone(&path).await, Known::Nothing, "{before} {after}");
    }
}

#[tokio::test]
async fn while_somebody_reads_the_last_opening_goes_on() {
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

//! Which files and logs are opened, and which are refused.

use super::*;

const WAL: FileHeader = FileHeader { is_empty: false, is_in_wal_mode: true };
const NOT_WAL: FileHeader = FileHeader { is_empty: false, is_in_wal_mode: false };
const EMPTY: FileHeader = FileHeader { is_empty: true, is_in_wal_mode: false };

/// A row with so many records and transactions, and two openings.
fn row(commits: i64, opening: &str, previous: &str) -> Contents {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (opening, previous_opening) = (some(opening), some(previous));
    let last_position = commits;
    Contents::Tables(CommitState {
        last_position,
        commits,
        opening,
        previous_opening,
        is_closed: false,
    })
}

fn closed(contents: Contents) -> Contents {
    let Contents::Tables(state) = contents else { panic!("it has our tables") };
    Contents::Tables(CommitState { is_closed: true, ..state })
}

fn with_records(last_position: i64, contents: Contents) -> Contents {
    let Contents::Tables(state) = contents else { panic!("it has our tables") };
    Contents::Tables(CommitState { last_position, ..state })
}

/// A file without its log and with it, and how many transactions the log has.
fn with_log(commits: u64, file: Contents, combined: Contents) -> Inspection {
    let wal = Some(Wal { bytes: 1 << 20, commits });
    Inspection { header: WAL, wal, file, combined, had_lock_file: true, noted_opening: None }
}

/// A file without a log.
fn alone(file: Contents, noted_opening: Option<&str>) -> Inspection {
    let noted_opening = noted_opening.map(str::to_owned);
    Inspection {
        header: WAL,
        wal: None,
        combined: file.clone(),
        file,
        had_lock_file: true,
        noted_opening,
    }
}

#[test]
fn a_file_and_its_log_are_opened_whatever_of_the_log_is_in_the_file() {
    for in_file in 40..=50 {
        let inspection = with_log(10, row(in_file, "B", "A"), row(50, "B", "A"));
        assert_eq!(inspection.check(), Ok(()), "{in_file}");
    }
    // The first round of an opening's log: the file is as the opening before left it.
    for previous in ["", "A"] {
        let inspection = with_log(10, closed(row(40, previous, "")), row(50, "B", previous));
        assert_eq!(inspection.check(), Ok(()), "{previous}");
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
        ("a log from before there were tables", row(45, "B", "A"), Contents::NoTables),
        ("a new file", Contents::NoTables, row(50, "B", "A")),
        ("a file with other pages", closed(row(45, "X", "A")), Contents::Unknown),
    ] {
        let inspection = with_log(10, file, both);
        assert_eq!(inspection.check(), Err(Mismatch::ForeignLog), "{what}");
    }
}

#[test]
fn a_log_beside_a_file_that_was_not_written_with_one_is_refused() {
    let same = || row(50, "B", "A");
    for header in [NOT_WAL, EMPTY] {
        let inspection = Inspection { header, ..with_log(10, same(), same()) };
        assert_eq!(inspection.check(), Err(Mismatch::ForeignLog), "{header:?}");
        let inspection = Inspection { header, ..with_log(0, same(), same()) };
        assert_eq!(inspection.check(), Ok(()), "nothing is in the log");
    }
}

#[test]
fn what_a_crash_leaves_of_first_starts_and_of_checkpoints_is_opened() {
    for (what, file, both) in [
        ("tables in the log", Contents::NoTables, row(0, "", "")),
        ("a part of the tables in the log", Contents::NoTables, Contents::Unknown),
        ("no table yet", Contents::NoTables, Contents::NoTables),
        ("a page of two halves", Contents::Unknown, row(50, "B", "A")),
        ("nothing that can be read", row(45, "B", "A"), Contents::Unknown),
    ] {
        let inspection = with_log(10, file, both);
        assert_eq!(inspection.check(), Ok(()), "{what}");
    }
}

#[test]
fn a_log_that_is_gone_is_missed_where_the_file_was_open() {
    let open = || row(50, "B", "A");
    assert_eq!(alone(open(), Some("B")).check(), Err(Mismatch::LogIsGone));
    for (what, inspection) in [
        ("it was closed", alone(closed(open()), Some("B"))),
        ("it was open somewhere else", alone(open(), None)),
        ("a backup of another opening", alone(open(), Some("C"))),
        ("it has just been made", alone(row(0, "", ""), Some("B"))),
        (
            "a person's checkpoint has emptied it",
            Inspection { wal: Some(Wal { bytes: 0, commits: 0 }), ..alone(open(), Some("B")) },
        ),
    ] {
        assert_eq!(inspection.check(), Ok(()), "{what}");
    }
    assert!(alone(open(), None).is_a_copy());
    assert!(!alone(closed(open()), None).is_a_copy());
    assert!(!alone(row(0, "", ""), None).is_a_copy());
}

#[test]
fn a_file_without_tables_is_opened_only_where_it_was_made() {
    let inspection = |had_lock_file, header| Inspection {
        had_lock_file,
        header,
        ..alone(Contents::NoTables, None)
    };
    assert_eq!(inspection(false, WAL).check(), Err(Mismatch::NoTables));
    assert_eq!(inspection(true, WAL).check(), Ok(()), "a first start that was killed");
    assert_eq!(inspection(false, EMPTY).check(), Ok(()), "as `touch` makes it");
}

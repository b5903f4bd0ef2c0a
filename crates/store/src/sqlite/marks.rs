//! Whether a database's file and the write-ahead log beside it belong together, and whether a log
//! is missing.
//!
//! SQLite does not look: whatever log lies beside a file is written into it, page by page, and a
//! log beside an empty file is deleted. So a backup that is put in the place of a file without
//! its log, a file that is moved without it, or a log that is taken for a temporary file and
//! removed, all cost what was acknowledged, or the whole database.
//!
//! The salts in a log's header do not help: nothing in the file has them. Inode numbers do not
//! either: a copy of both to another disk is fine, and a backup copied over the file keeps its
//! inode. Nor does the lock file, which is not copied everywhere. So what is told is in the
//! database itself, in the row of `shards` that every transaction changes, and thus in the log
//! as well:
//!
//! * `commits` counts the transactions. A log with n of them was begun when the whole of the log
//!   before was in the file, n transactions ago. Meanwhile checkpoints may have moved any of its
//!   pages into the file, and nothing else has. So the file's own row, read as if there were no
//!   log, is at most n behind the row that is read with the log. An older backup is further
//!   behind; one that is not is completed by the log.
//! * `opening` tells apart what was written to different copies of a file, which count alike. It
//!   is new whenever a process opens the file, at the beginning of a new log; so the file's is
//!   the log's, or the one before that.
//! * `is_closed` is set when the log is about to be moved into the file and removed. A file that is
//!   not closed and has no log was copied while it was open, or has lost it. A copy that SQLite
//!   made (a backup) is whole and looks the same; the lock file tells which of the two it is, as
//!   it notes the opening and is emptied only after SQLite has removed the log.
//!
//! A VACUUM INTO has other pages than the file it was made of, and may count the same; but it is
//! not in WAL mode, as any file of ours is before it has a log.
//!
//! What power cuts and kills may leave is never refused: not a row that was written by halves,
//! nor one of which only the log has the table.
//!
//! Decision: docs/decisions/the-database-knows-its-write-ahead-log.md

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::open::BUSY_TIMEOUT;
use super::wal::Wal;

/// What is in the row of `shards`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub(super) struct Marks {
    /// Up to which record the log of events goes.
    pub(super) last_position: i64,
    commits: i64,
    /// By which the file was written. None: its tables were just made.
    opening: Option<String>,
    previous_opening: Option<String>,
    is_closed: bool,
}

/// What is known of a database, with its write-ahead log or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// It has no tables at all.
    NoTables,
    /// It has ours.
    Marks(Marks),
    /// It has other ones, or pages of them are older than others.
    Nothing,
}

/// The beginning of a database's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_empty: bool,
    pub(super) is_in_wal_mode: bool,
}

/// What there is before SQLite opens the database to write.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    /// None: there is no file.
    pub(super) wal: Option<Wal>,
    /// As if there were no write-ahead log.
    pub(super) file: Known,
    /// What SQLite makes of both.
    pub(super) both: Known,
    /// Whether a process has had the database open here before: there was a lock file.
    pub(super) was_here: bool,
    /// The opening in the lock file, which was not ended properly.
    pub(super) noted_opening: Option<String>,
}

/// Why the database must not be opened to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The write-ahead log was written for another file.
    ForeignLog,
    /// What was committed last was in a write-ahead log that is gone.
    LogIsGone,
    /// A file without tables, of which all may have been in its log.
    NoTables,
}

impl Found {
    /// Looks, and changes nothing.
    pub(super) async fn at(
        path: &Path,
        header: Header,
        was_here: bool,
        noted_opening: Option<String>,
    ) -> std::io::Result<Found> {
        let wal = Wal::beside(path)?;
        let alone = SqliteConnectOptions::new().filename(path).immutable(true);
        let file = match header.is_empty {
            // There is nothing to read, and SQLite must not see the log: it would remove it.
            true => Known::NoTables,
            false => known(alone).await,
        };
        let both = match wal {
            Some(wal) if wal.commits > 0 && !header.is_empty => {
                let both = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
                known(both).await
            }
            _ => file.clone(),
        };
        Ok(Found { header, wal, file, both, was_here, noted_opening })
    }

    /// How many transactions are in the write-ahead log.
    pub(super) fn commits(&self) -> u64 {
        self.wal.map_or(0, |wal| wal.commits)
    }

    /// Whether it may be opened to write.
    pub(super) fn check(&self) -> Result<(), Mismatch> {
        match self.commits() {
            0 => self.check_alone(),
            commits if self.log_belongs_to_the_file(commits) => Ok(()),
            _ => Err(Mismatch::ForeignLog),
        }
    }

    /// Whether it was not closed, has no log, and nobody knows that there was one: a backup, or
    /// a copy of the file alone.
    pub(super) fn is_a_copy(&self) -> bool {
        self.wal.is_none() && self.open_when_written().is_some()
    }

    fn check_alone(&self) -> Result<(), Mismatch> {
        if self.file == Known::NoTables && !self.header.is_empty && !self.was_here {
            return Err(Mismatch::NoTables);
        }
        let noted = self.noted_opening.as_deref();
        match self.wal {
            None if noted.is_some() && noted == self.open_when_written() => {
                Err(Mismatch::LogIsGone)
            }
            // One that is empty has been moved into the file.
            _ => Ok(()),
        }
    }

    /// The opening by which the file itself was written last, if that was not its end.
    fn open_when_written(&self) -> Option<&str> {
        let Known::Marks(marks) = &self.file else { return None };
        marks.opening.as_deref().filter(|_| !marks.is_closed)
    }

    fn log_belongs_to_the_file(&self, commits: u64) -> bool {
        if self.header.is_empty || !self.header.is_in_wal_mode {
            return false;
        }
        let commits = i64::try_from(commits).unwrap_or(i64::MAX);
        match (&self.file, &self.both) {
            // A file that was closed is whole; the log makes nonsense of it.
            (file, Known::Nothing) if file.is_closed() => false,
            // What is wrong is told by what opens it.
            (Known::Nothing, _) | (_, Known::Nothing) | (Known::NoTables, Known::NoTables) => true,
            (Known::Marks(_), Known::NoTables) => false,
            // The log is of the time when the tables were made: no opening is noted before they
            // are in the file.
            (Known::NoTables, Known::Marks(both)) => both.opening.is_none(),
            (Known::Marks(file), Known::Marks(both)) => {
                file.last_position <= both.last_position && both.follow(file, commits)
            }
        }
    }
}

impl Known {
    /// Whether it was closed by the process that had it open last, which said so in it.
    pub(super) fn is_closed(&self) -> bool {
        let Known::Marks(marks) = self else { return false };
        marks.opening.is_some() && marks.is_closed
    }
}

impl Marks {
    /// Whether so many transactions at most led from the file to this.
    fn follow(&self, file: &Marks, commits: i64) -> bool {
        let is_of_the_same = self.opening == file.opening || self.previous_opening == file.opening;
        let missing = self.commits.checked_sub(file.commits);
        is_of_the_same && missing.is_some_and(|missing| (0..=commits).contains(&missing))
    }
}

/// After a power cut in the middle of a checkpoint some pages are older than others, and a page
/// may be half a page: what cannot be read says nothing.
async fn known(options: SqliteConnectOptions) -> Known {
    let options = options.read_only(true).disable_statement_logging();
    let Ok(mut connection) = options.connect().await else { return Known::Nothing };
    let known = read(&mut connection).await;
    // Nothing was written.
    _ = connection.close().await;
    known.unwrap_or(Known::Nothing)
}

async fn read(connection: &mut SqliteConnection) -> Result<Known, sqlx::Error> {
    let (has_tables, has_shards): (bool, bool) = sqlx::query_as(
        "SELECT count(*) > 0, count(*) FILTER (WHERE name = 'shards') > 0 FROM sqlite_schema",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !has_tables {
        return Ok(Known::NoTables);
    }
    if !has_shards {
        return Ok(Known::Nothing);
    }
    // One row has the openings; records and commits are counted in the row of their shard.
    let marks = sqlx::query_as(
        "SELECT totals.*, opening, previous_opening, is_closed
         FROM shards
         CROSS JOIN (SELECT sum(last_position) AS last_position, sum(commits) AS commits
                     FROM shards) AS totals
         WHERE shard = 0",
    );
    Ok(Known::Marks(marks.fetch_one(connection).await?))
}

pub(super) async fn last_position(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let last = "SELECT coalesce(sum(last_position), 0) FROM shards";
    sqlx::query_scalar(last).fetch_one(connection).await
}

/// Notes a new opening, at the beginning of a new write-ahead log: once all that was in the old
/// one is in the file, and the file says so. If somebody (a person with a shell, a backup) reads
/// the file meanwhile and its log cannot be ended, it is written on with the opening it has. Says
/// which opening this is; none: there was none yet, and there is none now.
pub(super) async fn begin_opening(
    connection: &mut SqliteConnection,
    new: &str,
) -> Result<Option<String>, sqlx::Error> {
    let is_new = end_log(connection).await?;
    sqlx::query(
        "UPDATE shards
         SET commits = commits + 1,
             previous_opening = iif(?1, opening, previous_opening),
             opening = iif(?1, ?2, opening),
             is_closed = FALSE
         WHERE shard = 0",
    )
    .bind(is_new)
    .bind(new)
    .execute(&mut *connection)
    .await?;
    // So that the file itself says that it is open, should its log be lost.
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await?;
    let opening = "SELECT opening FROM shards WHERE shard = 0";
    sqlx::query_scalar(opening).fetch_one(connection).await
}

/// Moves all of the write-ahead log into the file, which then says that it has none. Not if
/// somebody reads it for too long; says whether it was done.
async fn end_log(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    set_closed(connection).await?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = sqlx::query_scalar(checkpoint).fetch_one(connection).await?;
    Ok(!is_busy)
}

/// Notes that what is in the write-ahead log is about to be moved into the file.
pub(super) async fn set_closed(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let set = "UPDATE shards SET commits = commits + 1, is_closed = TRUE
               WHERE shard = 0 AND NOT is_closed";
    sqlx::query(set).execute(connection).await.map(|_| ())
}

/// Counts a transaction that does not append.
pub(super) async fn count_commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let count = "UPDATE shards SET commits = commits + 1 WHERE shard = 0";
    sqlx::query(count).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests;

//! Whether a database's file and the write-ahead log beside it belong together, and whether a log
//! is missing.
//!
//! SQLite does not check: it writes whatever log lies beside a file into it, page by page, and
//! deletes a log beside an empty file. So acknowledged commits, or the whole database, are lost
//! when a backup replaces a file without its log, when a file is moved without its log, or when a
//! log is taken for a temporary file and removed.
//!
//! The salts in a log's header do not help: the file does not have them. Inode numbers do not
//! either: a copy of both files to another disk is fine, and a backup copied over the file keeps
//! its inode. Nor does the lock file, which is not always copied with them. So the database itself
//! says what is needed, in the row of `shards` that every transaction changes:
//!
//! * `commits` counts the transactions. A log with n of them was begun n transactions ago, when
//!   all of the log before it was in the file. Since then checkpoints may have moved any of its
//!   pages into the file, and nothing else has. So the file's own row, read without the log, is at
//!   most n behind the row that is read with the log. An older backup is further behind; one that
//!   is not is completed by the log.
//! * `opening` tells apart copies of a file that were written separately and count alike. It is
//!   new whenever a process opens the file, at the beginning of a new log; so the file's is the
//!   log's, or the one before that.
//! * `is_closed` is set when the log is about to be moved into the file and removed. A file that
//!   is not closed and has no log was copied while it was open, or has lost its log. A copy that
//!   SQLite made (a backup) is complete and looks the same. The lock file tells the two apart: it
//!   names the opening, and is emptied only after SQLite has removed the log.
//!
//! A file that VACUUM INTO made has other pages than its source, and may count the same. But it is
//! not in WAL mode, and every file of ours is before it has a log.
//!
//! What power cuts and kills may leave is never refused: neither a half-written row, nor one whose
//! table is only in the log.
//!
//! Decision: docs/decisions/the-database-knows-its-write-ahead-log.md

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;

use super::commit_state::{CommitState, Contents};
use super::connect_options::BUSY_TIMEOUT;
use super::file_header::FileHeader;
use super::lock::PriorState;
use super::wal::Wal;

/// The state of a database before SQLite opens it to write.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) header: FileHeader,
    /// None: there is no file.
    pub(super) wal: Option<Wal>,
    /// Read as if there were no write-ahead log.
    pub(super) file: Contents,
    /// Read as SQLite reads the file with its log.
    pub(super) combined: Contents,
    /// Whether a process has had the database open here before.
    pub(super) had_lock_file: bool,
    /// The opening in the lock file, which was not closed properly.
    pub(super) noted_opening: Option<String>,
}

/// Why the database must not be opened to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The write-ahead log was written for another file.
    ForeignLog,
    /// The write-ahead log is gone, and with it the last commits.
    LogIsGone,
    /// The file has no tables: all of them may have been in its log.
    NoTables,
}

impl Inspection {
    /// Reads the files and changes nothing.
    pub(super) async fn of(path: &Path, prior: &PriorState) -> std::io::Result<Inspection> {
        let PriorState { header, had_lock_file, ref lock_file } = *prior;
        let wal = Wal::of(path)?;
        let alone = SqliteConnectOptions::new().filename(path).immutable(true);
        let file = match header.is_empty {
            // There is nothing to read, and SQLite must not see the log: it would remove it.
            true => Contents::NoTables,
            false => Contents::read(alone).await,
        };
        let combined = match wal {
            Some(wal) if wal.commits > 0 && !header.is_empty => {
                let both = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
                Contents::read(both).await
            }
            _ => file.clone(),
        };
        let noted_opening = lock_file.opening.clone();
        Ok(Inspection { header, wal, file, combined, had_lock_file, noted_opening })
    }

    /// Whether the database may be opened to write.
    pub(super) fn check(&self) -> Result<(), Mismatch> {
        match self.wal.map_or(0, |wal| wal.commits) {
            0 => self.check_alone(),
            commits if self.log_belongs_to_the_file(commits) => Ok(()),
            _ => Err(Mismatch::ForeignLog),
        }
    }

    /// Whether the file was not closed, has no log, and no lock file says that there was one: it
    /// is a backup, or a copy of the file alone.
    pub(super) fn is_a_copy(&self) -> bool {
        self.wal.is_none() && self.unclosed_opening().is_some()
    }

    fn check_alone(&self) -> Result<(), Mismatch> {
        if self.file == Contents::NoTables && !self.header.is_empty && !self.had_lock_file {
            return Err(Mismatch::NoTables);
        }
        let noted = self.noted_opening.as_deref();
        match self.wal {
            None if noted.is_some() && noted == self.unclosed_opening() => Err(Mismatch::LogIsGone),
            // An empty log was moved into the file.
            _ => Ok(()),
        }
    }

    /// The opening that wrote the file itself last, unless it has closed it.
    fn unclosed_opening(&self) -> Option<&str> {
        let Contents::Tables(state) = &self.file else { return None };
        state.opening.as_deref().filter(|_| !state.is_closed)
    }

    fn log_belongs_to_the_file(&self, commits: u64) -> bool {
        if self.header.is_empty || !self.header.is_in_wal_mode {
            return false;
        }
        let commits = i64::try_from(commits).unwrap_or(i64::MAX);
        match (&self.file, &self.combined) {
            // A file that was closed is whole: it is the log that makes it unreadable.
            (file, Contents::Unknown) if file.is_closed() => false,
            // The following steps of opening find out what is wrong with these.
            (Contents::Unknown, _)
            | (_, Contents::Unknown)
            | (Contents::NoTables, Contents::NoTables) => true,
            (Contents::Tables(_), Contents::NoTables) => false,
            // The log is from when the tables were created: no opening is noted before they are
            // in the file.
            (Contents::NoTables, Contents::Tables(combined)) => combined.opening.is_none(),
            (Contents::Tables(file), Contents::Tables(combined)) => {
                file.last_position <= combined.last_position && follows(combined, file, commits)
            }
        }
    }
}

/// Whether at most so many commits led from the file's state to the combined one.
fn follows(combined: &CommitState, file: &CommitState, commits: i64) -> bool {
    let is_same_opening =
        combined.opening == file.opening || combined.previous_opening == file.opening;
    let missing = combined.commits.checked_sub(file.commits);
    is_same_opening && missing.is_some_and(|missing| (0..=commits).contains(&missing))
}

#[cfg(test)]
mod tests;

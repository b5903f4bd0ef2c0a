//! Why a database could not be opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;

use super::result_code::{says_damaged, says_not_a_database};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the database {} is in use by {holder}: stop that process first; if several processes are to share a database, use Postgres (--database-url postgres://...)",
        path.display()
    )]
    InUse {
        path: PathBuf,
        /// The process, in words.
        holder: String,
        /// Its id, if the operating system says so: on Linux, to those who may look at that
        /// process.
        process_id: Option<u32>,
    },
    /// The file has several names, and was not opened by this one before.
    #[error(
        "the database {} has {names} names (hard links), and this is not one by which it was opened before: what was committed last may be in the write-ahead log beside another one; use that one, or remove the others",
        path.display()
    )]
    AnotherName { path: PathBuf, names: u32 },
    /// The file is mounted without its folder.
    #[error(
        "the database {} is mounted without its folder, where its write-ahead log belongs: mount the folder",
        path.display()
    )]
    MountedAlone { path: PathBuf },
    /// The write-ahead log beside the file was written for another file.
    #[error(
        "the write-ahead log {0}-wal was not written for the file {0} that is there now: one of them was replaced or restored without the other, and together they would be damaged; put back the two that belong together; or, to go on from what is in {0} alone (a backup), move {0}-wal, {0}-shm and {0}.lock somewhere else and start again",
        path.display()
    )]
    ForeignLog { path: PathBuf },
    /// The file was not closed, and its write-ahead log is gone.
    #[error(
        "the database {0} was not closed the last time, and its write-ahead log {0}-wal is gone, with what was committed last: put that file back; or, to go on without it (from a backup), remove {0}.lock and start again",
        path.display()
    )]
    LogIsGone { path: PathBuf },
    /// The file has no tables, and was created somewhere else.
    #[error(
        "the database {0} has no tables, and was not made here: if it is a copy of one that was in use, all of it is in the write-ahead log beside the original (its -wal file): copy both; if there is nothing to keep, remove {0}, and a new one is made",
        path.display()
    )]
    NoTables { path: PathBuf },
    /// A file or folder cannot be created or used.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// The file is not a database, or another program's.
    #[error("{} is not a database of this program: give the path of another file", path.display())]
    NotOurs { path: PathBuf },
    /// SQLite finds the file damaged.
    #[error(
        "the database {0} is damaged, or has a write-ahead log {0}-wal beside it that is another file's: restore it from a backup",
        path.display()
    )]
    Damaged { path: PathBuf, source: sqlx::Error },
    /// A newer version of this program has changed the tables.
    #[error(
        "the database {} was made by a newer version of this program (it has migration {migration}, this version knows {known}): use that version",
        path.display()
    )]
    Newer {
        path: PathBuf,
        /// The first migration that this version does not know.
        migration: i64,
        /// The last migration that this version knows.
        known: i64,
    },
    /// An unreleased version of this program has created it.
    #[error(
        "the database {} was made by an unreleased version of this program, whose tables this version does not take over: make a new database under another path, or use the program that made this one",
        path.display()
    )]
    Unreleased { path: PathBuf },
    /// Another process has it open, and its tables are not those of this version.
    #[error(
        "the database {} has the tables of another version of this program: use the version that has it open",
        path.display()
    )]
    OtherVersion { path: PathBuf },
    /// It does not exist or has no tables, and must not be created.
    #[error("there is no database {}", path.display())]
    Missing { path: PathBuf },
    /// Its tables are of an older version, and must not be changed.
    #[error(
        "the database {} was last opened by an older version of this program: start this version's server on it first, which brings its tables up to date",
        path.display()
    )]
    Older { path: PathBuf },
    /// A migration has failed.
    #[error("cannot bring the tables of {} up to date", path.display())]
    Migration { path: PathBuf, source: MigrateError },
    /// Any other error of the database.
    #[error("cannot open the database {}", path.display())]
    Database { path: PathBuf, source: sqlx::Error },
}

/// What an error of a file or folder becomes.
pub(super) fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { action, path, source }
}

/// What an error of the database becomes.
pub(super) fn database_error(path: &Path) -> impl FnOnce(sqlx::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| {
        if says_not_a_database(&source) {
            return OpenError::NotOurs { path };
        }
        match says_damaged(&source) {
            true => OpenError::Damaged { path, source },
            false => OpenError::Database { path, source },
        }
    }
}

/// What an error of the migrator becomes.
pub(super) fn migration_error(path: &Path, error: MigrateError, last_known: i64) -> OpenError {
    match error {
        MigrateError::VersionMissing(migration) if migration > last_known => {
            OpenError::Newer { path: path.to_owned(), migration, known: last_known }
        }
        MigrateError::Execute(source) => database_error(path)(source),
        source => OpenError::Migration { path: path.to_owned(), source },
    }
}

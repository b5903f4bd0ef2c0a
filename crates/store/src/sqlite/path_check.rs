//! Whether the paths of an open database still lead to the files that were opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::file_id::FileId;
use super::sidecar::sidecar_path;

/// The paths of a database and of its write-ahead log, which must lead to the same files for as
/// long as it is open: what is committed to a file that has lost its name is lost.
#[derive(Debug)]
pub(super) struct PathCheck {
    database: ExpectedFile,
    log: Mutex<Option<ExpectedFile>>,
    /// So that there is one log line, and not one for each event.
    is_logged: AtomicBool,
}

#[derive(Debug)]
struct ExpectedFile {
    path: PathBuf,
    id: FileId,
}

/// A path leads to another file, or to none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} was replaced or removed while the database was open, so that what is written would be lost: put the file back; or, to use what is there now, stop this process, remove {0}-wal and {0}-shm, which belong to the file that was there before, and start again",
    path.display()
)]
pub(super) struct FileReplaced {
    path: PathBuf,
}

impl PathCheck {
    /// Expects the files that are there now.
    pub(super) fn of(database: &Path) -> io::Result<PathCheck> {
        let database = ExpectedFile { path: database.to_owned(), id: FileId::at(database)? };
        let check =
            PathCheck { database, log: Mutex::default(), is_logged: AtomicBool::new(false) };
        check.expect_current_log();
        Ok(check)
    }

    /// Expects the write-ahead log that is there now: SQLite creates another one if all
    /// connections were closed meanwhile.
    pub(super) fn expect_current_log(&self) {
        let path = sidecar_path(&self.database.path, "-wal");
        let current = FileId::at(&path).ok().map(|id| ExpectedFile { path, id });
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Checks both paths: two system calls.
    pub(super) fn check(&self) -> Result<(), FileReplaced> {
        self.check_database()?;
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().try_for_each(|log| self.log_once(log.check()))
    }

    /// Checks the database's path only.
    pub(super) fn check_database(&self) -> Result<(), FileReplaced> {
        self.log_once(self.database.check())
    }

    fn log_once(&self, checked: Result<(), FileReplaced>) -> Result<(), FileReplaced> {
        checked.inspect_err(|replaced| {
            if !self.is_logged.swap(true, Ordering::Relaxed) {
                tracing::error!("{replaced}");
            }
        })
    }
}

impl ExpectedFile {
    fn check(&self) -> Result<(), FileReplaced> {
        match FileId::at(&self.path) {
            Ok(id) if id == self.id => Ok(()),
            // Any other error says nothing about the path.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(()),
            _ => Err(FileReplaced { path: self.path.clone() }),
        }
    }
}

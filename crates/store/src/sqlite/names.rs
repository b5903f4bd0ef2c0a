//! Whether a database that is open still has its name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::place::{FileId, beside};

/// The names of a database and of its write-ahead log, which must lead to the same files for as
/// long as it is open: what is committed to a file that has lost its name is lost.
#[derive(Debug)]
pub(super) struct Names {
    database: Name,
    log: Mutex<Option<Name>>,
    /// So that one line says it, and not one for each event.
    is_told: AtomicBool,
}

/// A name, and the file that it led to.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    file: FileId,
}

/// A name leads to another file, or to none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} was replaced or removed while the database was open, so that what is written would be lost: put the file back; or, to use what is there now, stop this process, remove {0}-wal and {0}-shm, which belong to the file that was there before, and start again",
    path.display()
)]
pub(super) struct Replaced {
    path: PathBuf,
}

impl Names {
    /// What they lead to now.
    pub(super) fn of(database: &Path) -> io::Result<Names> {
        let database = Name { path: database.to_owned(), file: FileId::at(database)? };
        let names = Names { database, log: Mutex::default(), is_told: AtomicBool::new(false) };
        names.note_log();
        Ok(names)
    }

    /// SQLite makes another write-ahead log if all connections were closed meanwhile.
    pub(super) fn note_log(&self) {
        let path = beside(&self.database.path, "-wal");
        let noted = FileId::at(&path).ok().map(|file| Name { path, file });
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }

    /// Whether they lead where they led: two system calls.
    pub(super) fn check(&self) -> Result<(), Replaced> {
        self.check_database()?;
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().try_for_each(|log| self.tell_once(log.check()))
    }

    /// The same for the database's own name.
    pub(super) fn check_database(&self) -> Result<(), Replaced> {
        self.tell_once(self.database.check())
    }

    fn tell_once(&self, checked: Result<(), Replaced>) -> Result<(), Replaced> {
        checked.inspect_err(|replaced| {
            if !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::error!("{replaced}");
            }
        })
    }
}

impl Name {
    fn check(&self) -> Result<(), Replaced> {
        match FileId::at(&self.path) {
            Ok(found) if found == self.file => Ok(()),
            // Any other error says nothing of the name.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(()),
            _ => Err(Replaced { path: self.path.clone() }),
        }
    }
}

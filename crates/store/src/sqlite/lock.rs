//! One process to a database: a lock on the file itself, by whatever path it is reached, and one
//! on a file beside it, which names the holder.
//!
//! The first is flock(2). It belongs to the file and not to its name, and on local file systems it
//! has nothing to do with the byte ranges that SQLite locks by fcntl(2). (NFS on Linux turns it
//! into such ranges, and the two would conflict: a database on NFS does not open.) But a process
//! loses *all* its fcntl locks on a file when it closes any descriptor of it. So the lock's
//! descriptor is opened before SQLite opens the file and closed after SQLite has closed it, and
//! nothing else in this process opens the file: see [`DatabaseLock::keep_in`] and [`LOCKED_FILES`].
//!
//! The second is what earlier versions lock.
//!
//! Decision: docs/decisions/sqlite-files-are-locked-with-flock.md

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;

use super::database_file::DatabaseFile;
use super::file_header::FileHeader;
use super::file_id::FileId;
use super::lock_file::{self, LockError, LockFile, LockFileContent};
use super::lock_holder::LockHolder;
use super::open_error::{OpenError, file_error};
use super::sidecar::sidecar_path;
use crate::created_files::sync_folder_of;

/// The files that this process has locked. Checked before a file is opened, because the descriptor
/// of a second opening could not be closed again.
static LOCKED_FILES: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());

/// Held until it is released or dropped. The operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    id: FileId,
    locks: Mutex<Option<Locks>>,
}

#[derive(Debug)]
struct Locks {
    database_path: PathBuf,
    /// Whether SQLite may have changed anything.
    is_opened: bool,
    lock_file: LockFile,
    /// Closed last, since every process locks this one first.
    _database: File,
}

/// The state of a database before this process opened it.
#[derive(Debug)]
pub(super) struct PriorState {
    pub(super) header: FileHeader,
    /// Whether a process has had the database open here before.
    pub(super) had_lock_file: bool,
    pub(super) lock_file: LockFileContent,
}

impl DatabaseLock {
    /// Takes both locks.
    pub(super) fn take(
        database: &mut DatabaseFile,
        program: &str,
    ) -> Result<(Arc<DatabaseLock>, PriorState), OpenError> {
        let path = database.path.clone();
        let mut locked_files = locked_files();
        let (id, file) = open_unless_locked(&path, &locked_files)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, LockHolder::of(&path, id))),
            Err(TryLockError::Error(error)) => return Err(file_error("lock", &path)(error)),
        }
        let Some(header) = FileHeader::read(&file).map_err(file_error("read", &path))? else {
            return Err(OpenError::NotOurs { path });
        };
        let lock_path = lock_file::path_of(&path);
        let had_lock_file = lock_path.exists();
        if !had_lock_file {
            refuse_another_name(&path)?;
            database.created.add_file(lock_path.clone());
        }
        let lock_file = LockFile::take(&lock_path, program).map_err(|error| match error {
            LockError::Held => in_use(&path, LockHolder::of(&path, id)),
            LockError::Io(source) => file_error("lock", &lock_path)(source),
        })?;
        if !had_lock_file {
            // So that a power cut does not hide that the database was open here.
            sync_folder_of(&lock_path).map_err(file_error("lock", &lock_path))?;
        }
        locked_files.insert(id);
        let content = lock_file.previous_content().clone();
        let prior = PriorState { header, had_lock_file, lock_file: content };
        let locks = Locks { database_path: path, is_opened: false, lock_file, _database: file };
        Ok((Arc::new(DatabaseLock { id, locks: Mutex::new(Some(locks)) }), prior))
    }

    /// Notes that SQLite may change the database from now on.
    pub(super) fn note_opened(&self) {
        if let Some(locks) = &mut *self.locks() {
            locks.is_opened = true;
        }
    }

    /// Notes the opening with which the database is now written.
    pub(super) fn note_opening(&self, opening: Option<&str>) -> std::io::Result<()> {
        match &*self.locks() {
            Some(locks) => locks.lock_file.note_opening(opening),
            None => Ok(()),
        }
    }

    fn locks(&self) -> MutexGuard<'_, Option<Locks>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Options of connections that keep the lock for as long as they have the file open. This
    /// includes connections that are dropped, and close the file later in threads of their own:
    /// SQLite frees a connection's collations after it has closed its files. (Nothing sorts by
    /// this one.)
    pub(super) fn keep_in(self: &Arc<Self>, options: SqliteConnectOptions) -> SqliteConnectOptions {
        let kept = Arc::clone(self);
        options.collation("keeps_the_lock", move |left, right| {
            let _ = &kept;
            left.cmp(right)
        })
    }

    /// Releases the lock, and notes that the database was closed properly. SQLite must have closed
    /// the file.
    pub(super) fn release(&self) {
        let mut locked_files = locked_files();
        let locks = self.locks().take();
        if let Some(locks) = locks {
            locks.lock_file.clear();
            drop(locks);
            locked_files.remove(&self.id);
        }
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        let mut locked_files = locked_files();
        if let Some(locks) = self.locks.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            locks.note_end();
            drop(locks);
            locked_files.remove(&self.id);
        }
    }
}

impl Locks {
    /// Updates the lock file of a database that was not closed properly. SQLite has closed its
    /// files by now. Its last connection removes the write-ahead log once all of it is in the
    /// file.
    fn note_end(&self) {
        if !self.is_opened {
            self.lock_file.restore();
        } else if !sidecar_path(&self.database_path, "-wal").exists() {
            self.lock_file.clear();
        }
    }
}

fn locked_files() -> MutexGuard<'static, BTreeSet<FileId>> {
    LOCKED_FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a database's file, unless this process has it open already.
fn open_unless_locked(
    path: &Path,
    locked_files: &BTreeSet<FileId>,
) -> Result<(FileId, File), OpenError> {
    let expected = FileId::at(path).map_err(file_error("find", path))?;
    if locked_files.contains(&expected) {
        return Err(in_use(path, LockHolder::this_process(path)));
    }
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(file_error("open", path))?;
    let id = FileId::of(&file.metadata().map_err(file_error("open", path))?);
    if id != expected && locked_files.contains(&id) {
        // A locked file was moved here since the check. The descriptor must stay open for good.
        std::mem::forget(file);
        return Err(in_use(path, LockHolder::this_process(path)));
    }
    Ok((id, file))
}

fn in_use(path: &Path, LockHolder { description, process_id }: LockHolder) -> OpenError {
    OpenError::InUse { path: path.to_owned(), holder: description, process_id }
}

/// Commits that are not in the file yet are in the write-ahead log, beside the name by which the
/// file was opened. So a file with several names, or one that is mounted without its folder, is
/// opened only where it was opened before: where its lock file is.
fn refuse_another_name(path: &Path) -> Result<(), OpenError> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let path = path.to_owned();
    // Where the kernel does not say (statx needs Linux 4.11, the attribute 5.8), it is allowed.
    let Ok(status) = statx(CWD, &path, AtFlags::empty(), StatxFlags::NLINK) else { return Ok(()) };
    if status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(OpenError::MountedAlone { path });
    }
    match status.stx_nlink {
        0 | 1 => Ok(()),
        names => Err(OpenError::AnotherName { path, names }),
    }
}

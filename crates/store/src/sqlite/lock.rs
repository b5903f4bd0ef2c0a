//! One process to a database: a lock on the file itself, by whatever path it is reached, and one
//! on a file beside it, which says who holds it.
//!
//! The first is flock(2), which belongs to the file and not to its name, and which on local file
//! systems has nothing to do with the byte ranges that SQLite locks by fcntl(2). (On NFS Linux
//! makes ranges of it, and the two would meet: there a database does not open.) But a process
//! loses *all* that it has locked by fcntl in a file when it closes any descriptor of it. So the
//! lock's descriptor is opened before SQLite opens the file and closed after SQLite has closed
//! it, and nobody else in this process opens it: see [`DatabaseLock::keep_in`] and [`OURS`].
//!
//! The second is what earlier versions lock.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;

use super::holder::{self, Holder};
use super::lock_file::{LockFile, NotLocked};
use super::open::OpenError;
use super::place::{FileId, Place, beside, failed};

/// What this process has locked. Looked at before a file is opened, because the descriptor of a
/// second opening could not be closed again.
static OURS: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());

/// How every file of SQLite begins: <https://www.sqlite.org/fileformat2.html#magic_header_string>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Held until it is released or dropped. The operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    id: FileId,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    beside: LockFile,
    /// The last to be closed: whoever comes next begins with this one.
    _database: File,
}

impl DatabaseLock {
    /// Takes both locks. Also says what the last holder has left in the lock file, which is
    /// nothing if it has released the lock.
    pub(super) fn take(
        place: &mut Place,
        program: &str,
    ) -> Result<(Arc<DatabaseLock>, Option<String>), OpenError> {
        let path = place.path.clone();
        let mut ours = ours();
        let (id, database) = open_alone(&path, &ours)?;
        match database.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, holder::of(&path, id))),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        if !is_empty_or_sqlite(&database).map_err(failed("read", &path))? {
            return Err(OpenError::NotOurs { path });
        }
        let lock_path = beside(&path, ".lock");
        if !lock_path.exists() {
            refuse_another_name(&path)?;
            place.made.file(lock_path.clone());
        }
        let (beside, left) = LockFile::take(&lock_path, program).map_err(|error| match error {
            NotLocked::Held => in_use(&path, holder::of(&path, id)),
            NotLocked::Io(source) => failed("lock", &lock_path)(source),
        })?;
        ours.insert(id);
        let held = Held { beside, _database: database };
        Ok((Arc::new(DatabaseLock { id, held: Mutex::new(Some(held)) }), left))
    }

    /// Options of connections that keep the lock for as long as they have the file open, also if
    /// they are dropped and close it some time later in threads of their own: SQLite frees a
    /// connection's collations after it has closed its files. (Nothing sorts by this one.)
    pub(super) fn keep_in(self: &Arc<Self>, options: SqliteConnectOptions) -> SqliteConnectOptions {
        let kept = Arc::clone(self);
        options.collation("keeps_the_lock", move |left, right| {
            let _ = &kept;
            left.cmp(right)
        })
    }

    /// Gives the lock back, and notes that the database was closed properly. SQLite must have
    /// closed the file.
    pub(super) fn release(&self) {
        let mut ours = ours();
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take() {
            held.beside.forget();
            drop(held);
            ours.remove(&self.id);
        }
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        let mut ours = ours();
        if self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            ours.remove(&self.id);
        }
    }
}

fn ours() -> MutexGuard<'static, BTreeSet<FileId>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a database's file, unless this process has it open already.
fn open_alone(path: &Path, ours: &BTreeSet<FileId>) -> Result<(FileId, File), OpenError> {
    let expected = FileId::at(path).map_err(failed("find", path))?;
    if ours.contains(&expected) {
        return Err(in_use(path, holder::this_process(path)));
    }
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(failed("open", path))?;
    let id = FileId::of(&file.metadata().map_err(failed("open", path))?);
    if id != expected && ours.contains(&id) {
        // It has taken the other's place in this moment. Its descriptor stays open for good.
        std::mem::forget(file);
        return Err(in_use(path, holder::this_process(path)));
    }
    Ok((id, file))
}

fn in_use(path: &Path, Holder { description, process_id }: Holder) -> OpenError {
    OpenError::InUse { path: path.to_owned(), holder: description, process_id }
}

fn is_empty_or_sqlite(file: &File) -> std::io::Result<bool> {
    let mut beginning = [0; MAGIC.len()];
    match file.metadata()?.len() {
        0 => Ok(true),
        length if length < MAGIC.len() as u64 => Ok(false),
        _ => file.read_exact_at(&mut beginning, 0).map(|()| beginning == *MAGIC),
    }
}

/// What is committed and not yet in the file is in the write-ahead log, beside the name by which
/// the file was opened. So a file with several names, or one that is mounted without its folder,
/// is opened only where it was opened before: where its lock file is.
fn refuse_another_name(path: &Path) -> Result<(), OpenError> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let path = path.to_owned();
    // Where the kernel does not say (statx is of Linux 4.11, the attribute of 5.8), it may.
    let Ok(found) = statx(CWD, &path, AtFlags::empty(), StatxFlags::NLINK) else { return Ok(()) };
    if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(OpenError::MountedAlone { path });
    }
    match found.stx_nlink {
        0 | 1 => Ok(()),
        names => Err(OpenError::AnotherName { path, names }),
    }
}

/// The lock file of a database.
pub(super) fn lock_file_of(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

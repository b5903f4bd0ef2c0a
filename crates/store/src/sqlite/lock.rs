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
//!
//! Decision: docs/decisions/sqlite-files-are-locked-with-flock.md

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;

use super::holder::{self, Holder};
use super::lock_file::{Left, LockFile, NotLocked};
use super::marks::Header;
use super::open::OpenError;
use super::place::{FileId, Place, beside, failed};
use crate::created_files::sync_folder_of;

/// What this process has locked. Looked at before a file is opened, because the descriptor of a
/// second opening could not be closed again.
static OURS: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());

/// How every file of SQLite begins: <https://www.sqlite.org/fileformat2.html#magic_header_string>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where it says how it is written and read, and what it says in WAL mode.
const VERSIONS: std::ops::Range<usize> = 18..20;
const WAL_VERSIONS: [u8; 2] = [2, 2];

/// Held until it is released or dropped. The operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    id: FileId,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    /// The database's.
    path: PathBuf,
    /// Whether SQLite may have changed anything.
    is_opened: bool,
    beside: LockFile,
    /// The last to be closed: whoever comes next begins with this one.
    _database: File,
}

impl DatabaseLock {
    /// Takes both locks. Also says what it has found of the database before.
    pub(super) fn take(
        place: &mut Place,
        program: &str,
    ) -> Result<(Arc<DatabaseLock>, Before), OpenError> {
        let path = place.path.clone();
        let mut ours = ours();
        let (id, database) = open_alone(&path, &ours)?;
        match database.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, holder::of(&path, id))),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let Some(header) = header_of(&database).map_err(failed("read", &path))? else {
            return Err(OpenError::NotOurs { path });
        };
        let lock_path = beside(&path, ".lock");
        let was_here = lock_path.exists();
        if !was_here {
            refuse_another_name(&path)?;
            place.created.add_file(lock_path.clone());
        }
        let beside = LockFile::take(&lock_path, program).map_err(|error| match error {
            NotLocked::Held => in_use(&path, holder::of(&path, id)),
            NotLocked::Io(source) => failed("lock", &lock_path)(source),
        })?;
        if !was_here {
            // After a power cut too it is known that the database was here.
            sync_folder_of(&lock_path).map_err(failed("lock", &lock_path))?;
        }
        ours.insert(id);
        let before = Before { header, was_here, left: beside.left().clone() };
        let held = Held { path, is_opened: false, beside, _database: database };
        Ok((Arc::new(DatabaseLock { id, held: Mutex::new(Some(held)) }), before))
    }

    /// SQLite may change the database from now on.
    pub(super) fn note_opened(&self) {
        if let Some(held) = &mut *self.held() {
            held.is_opened = true;
        }
    }

    /// Notes by which opening the database is now written.
    pub(super) fn note_opening(&self, opening: Option<&str>) -> std::io::Result<()> {
        match &*self.held() {
            Some(held) => held.beside.note_opening(opening),
            None => Ok(()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
        let held = self.held().take();
        if let Some(held) = held {
            held.beside.forget();
            drop(held);
            ours.remove(&self.id);
        }
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        let mut ours = ours();
        if let Some(held) = self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            held.note_end();
            drop(held);
            ours.remove(&self.id);
        }
    }
}

impl Held {
    /// Nobody has said that the database was closed, and SQLite has closed its files by now. The
    /// last connection removes the write-ahead log once all of it is in the file.
    fn note_end(&self) {
        if !self.is_opened {
            self.beside.put_back();
        } else if !beside(&self.path, "-wal").exists() {
            self.beside.forget();
        }
    }
}

/// What there was of a database before this process.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) header: Header,
    /// Whether there was a lock file.
    pub(super) was_here: bool,
    /// What was in it.
    pub(super) left: Left,
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

/// None: it is neither empty nor SQLite's.
fn header_of(file: &File) -> std::io::Result<Option<Header>> {
    let mut beginning = [0; VERSIONS.end];
    match file.metadata()?.len() {
        0 => return Ok(Some(Header { is_empty: true, is_in_wal_mode: false })),
        length if length < beginning.len() as u64 => return Ok(None),
        _ => file.read_exact_at(&mut beginning, 0)?,
    }
    let header = Header { is_empty: false, is_in_wal_mode: beginning[VERSIONS] == WAL_VERSIONS };
    Ok(beginning.starts_with(MAGIC).then_some(header))
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

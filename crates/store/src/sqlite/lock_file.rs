//! One process to a database: a lock on a file beside it, which says who holds it.
//!
//! Not on the database's own file: SQLite locks that one with POSIX locks, all of which a
//! process loses when it closes any handle of the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use keeptrusts_webhooks_domain::Timestamp;

/// Held from opening to drop. The operating system releases it when the process ends, however
/// it ends.
#[derive(Debug)]
pub(super) struct LockFile {
    _locked: File,
}

/// The process that has the lock.
#[derive(Debug)]
pub(super) struct Holder {
    /// Which one, as it says itself.
    pub(super) description: String,
    /// Its id, if the operating system says so too.
    pub(super) process_id: Option<u32>,
}

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Another process has it.
    Held(Holder),
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for NotLocked {
    fn from(error: io::Error) -> NotLocked {
        NotLocked::Io(error)
    }
}

/// The lock file of a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

impl LockFile {
    /// Takes the lock, or says who has it. The file stays when the lock goes: if it were
    /// removed, two processes could each lock a file of their own.
    pub(super) fn take(path: &Path, program: &str) -> Result<LockFile, NotLocked> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NotLocked::Held(holder(path, &mut file)?)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // What a dead process has left is overwritten in one write, so that nobody reads half.
        let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let text = format!("process {} ({program}, since {started})\n", std::process::id());
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        Ok(LockFile { _locked: file })
    }
}

/// What the holder has written: its first line, within reason.
fn holder(path: &Path, file: &mut File) -> io::Result<Holder> {
    const MAX_BYTES: u64 = 256;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    let process_id = line.strip_prefix("process ").and_then(|rest| {
        let id = rest.split(' ').next()?.parse().ok()?;
        has_open(id, path).then_some(id)
    });
    let description = match line {
        "" => "another process".to_owned(),
        line => line.to_owned(),
    };
    Ok(Holder { description, process_id })
}

/// Whether a process has a file open. One that is just starting has the lock before it has
/// written who it is; what a dead process has left in the file must not be taken for it.
fn has_open(process_id: u32, path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let Ok(open_files) = fs::read_dir(format!("/proc/{process_id}/fd")) else { return false };
    open_files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}

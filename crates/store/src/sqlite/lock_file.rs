//! The file beside a database that says who has it open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use keeptrusts_webhooks_domain::Timestamp;

/// What is read of it: its first line, within reason.
const MAX_BYTES: u64 = 256;

/// Held from opening to drop. The file stays when the lock goes: if it were removed, two
/// processes could each lock a file of their own.
#[derive(Debug)]
pub(super) struct LockFile {
    locked: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Another process has it.
    Held,
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for NotLocked {
    fn from(error: io::Error) -> NotLocked {
        NotLocked::Io(error)
    }
}

impl LockFile {
    /// Takes the lock and writes who has it. Also says what stood there.
    pub(super) fn take(
        path: &Path,
        program: &str,
    ) -> Result<(LockFile, Option<String>), NotLocked> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NotLocked::Held),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let left = first_line(&mut file)?;
        // What a dead process has left is overwritten in one write, so that nobody reads half.
        let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let text = format!("process {} ({program}, since {started})\n", std::process::id());
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        Ok((LockFile { locked: file }, left))
    }

    /// Whoever takes the lock next finds nothing: this one has ended as it should.
    pub(super) fn forget(&self) {
        if let Err(error) = self.locked.set_len(0) {
            tracing::debug!(%error, "the lock file keeps its content");
        }
    }
}

/// The line in a lock file, if it says anything.
pub(super) fn line_in(path: &Path) -> Option<String> {
    first_line(&mut File::open(path).ok()?).ok()?
}

fn first_line(file: &mut File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

//! The file beside a database that says who has it open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use keeptrusts_webhooks_domain::Timestamp;

/// What is read of it, within reason.
const MAX_BYTES: u64 = 512;
/// How its second line begins.
const OPENING: &str = "opening ";

/// Held from opening to drop. The file stays when the lock goes: if it were removed, two
/// processes could each lock a file of their own.
#[derive(Debug)]
pub(super) struct LockFile {
    locked: File,
    /// The first line, which is this process.
    holder: String,
    left: Left,
}

/// What the last holder has left in the file: nothing if it has ended as it should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Which process it was.
    pub(super) holder: Option<String>,
    /// Which opening of the database it has noted in it.
    pub(super) opening: Option<String>,
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
    /// Takes the lock and writes who has it.
    pub(super) fn take(path: &Path, program: &str) -> Result<LockFile, NotLocked> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NotLocked::Held),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let left = Left::of(&text(&mut file)?);
        let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let holder = format!("process {} ({program}, since {started})", std::process::id());
        // The opening stays until there is another one, or the database is closed.
        write(&file, &holder, left.opening.as_deref())?;
        Ok(LockFile { locked: file, holder, left })
    }

    /// What was in the file.
    pub(super) fn left(&self) -> &Left {
        &self.left
    }

    /// Writes by which opening the database is now written.
    pub(super) fn note_opening(&self, opening: Option<&str>) -> io::Result<()> {
        write(&self.locked, &self.holder, opening)
    }

    /// The database was left as it was: so is this.
    pub(super) fn put_back(&self) {
        let holder = self.left.holder.as_deref().unwrap_or_default();
        if let Err(error) = write(&self.locked, holder, self.left.opening.as_deref()) {
            tracing::debug!(%error, "the lock file has another content than before");
        }
    }

    /// Whoever takes the lock next finds nothing: this one has ended as it should.
    pub(super) fn forget(&self) {
        if let Err(error) = self.locked.set_len(0) {
            tracing::debug!(%error, "the lock file keeps its content");
        }
    }
}

impl Left {
    fn of(text: &str) -> Left {
        let mut lines = text.lines().map(str::trim);
        let holder = lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
        let opening = lines.next().and_then(|line| line.strip_prefix(OPENING)).map(str::to_owned);
        Left { holder, opening }
    }
}

/// The holder that a lock file names, if it names one.
pub(super) fn holder_in(path: &Path) -> Option<String> {
    Left::of(&text(&mut File::open(path).ok()?).ok()?).holder
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// In one write, so that nobody reads half.
fn write(mut file: &File, holder: &str, opening: Option<&str>) -> io::Result<()> {
    let text = match opening {
        Some(opening) => format!("{holder}\n{OPENING}{opening}\n"),
        None if holder.is_empty() => String::new(),
        None => format!("{holder}\n"),
    };
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_read_and_nothing_else() {
        let left = |text| {
            let Left { holder, opening } = Left::of(text);
            (holder, opening)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(left(""), (None, None));
        assert_eq!(left("process 7 (x)\n"), (some("process 7 (x)"), None));
        assert_eq!(left("process 7 (x)\nopening O1\n"), (some("process 7 (x)"), some("O1")));
        assert_eq!(left("\nopening O1\n"), (None, some("O1")));
        assert_eq!(left("process 7 (x)\nsomething else\n").1, None);
    }
}

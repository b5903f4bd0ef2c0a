//! The file beside a database that says who has it open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keeptrusts_webhooks_domain::Timestamp;

use super::sidecar::sidecar_path;

/// How much of the file is read: longer content is not ours.
const MAX_BYTES: u64 = 512;
/// How the second line begins.
const OPENING: &str = "opening ";

/// The locked file, from opening to drop. The file stays when the lock is released: if it were
/// removed, two processes could each lock a file of their own.
#[derive(Debug)]
pub(super) struct LockFile {
    locked: File,
    /// The first line, which describes this process.
    holder: String,
    previous_content: LockFileContent,
}

/// What a lock file says: nothing if its last holder has closed the database properly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LockFileContent {
    /// The process, in words.
    pub(super) holder: Option<String>,
    /// The id of the opening with which the process writes the database.
    pub(super) opening: Option<String>,
}

#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it.
    Held,
    /// The file cannot be used.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Io(error)
    }
}

/// The lock file of a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    sidecar_path(database, ".lock")
}

impl LockFile {
    /// Takes the lock, and writes this process into the file.
    pub(super) fn take(path: &Path, program: &str) -> Result<LockFile, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let previous_content = LockFileContent::parse(&text(&mut file)?);
        let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let holder = format!("process {} ({program}, since {started})", std::process::id());
        // The opening stays until there is another one, or the database is closed.
        write(&file, &holder, previous_content.opening.as_deref())?;
        Ok(LockFile { locked: file, holder, previous_content })
    }

    /// What was in the file before this process took the lock.
    pub(super) fn previous_content(&self) -> &LockFileContent {
        &self.previous_content
    }

    /// Notes the opening with which the database is now written.
    pub(super) fn note_opening(&self, opening: Option<&str>) -> io::Result<()> {
        write(&self.locked, &self.holder, opening)
    }

    /// Restores the previous content, since the database was not changed either.
    pub(super) fn restore(&self) {
        let LockFileContent { holder, opening } = &self.previous_content;
        let holder = holder.as_deref().unwrap_or_default();
        if let Err(error) = write(&self.locked, holder, opening.as_deref()) {
            tracing::debug!(%error, "the lock file has another content than before");
        }
    }

    /// Empties the file: the database was closed properly.
    pub(super) fn clear(&self) {
        if let Err(error) = self.locked.set_len(0) {
            tracing::debug!(%error, "the lock file keeps its content");
        }
    }
}

impl LockFileContent {
    fn parse(text: &str) -> LockFileContent {
        let mut lines = text.lines().map(str::trim);
        let holder = lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
        let opening = lines.next().and_then(|line| line.strip_prefix(OPENING)).map(str::to_owned);
        LockFileContent { holder, opening }
    }
}

/// The holder that a database's lock file names.
pub(super) fn holder_in(database: &Path) -> Option<String> {
    let mut file = File::open(path_of(database)).ok()?;
    LockFileContent::parse(&text(&mut file).ok()?).holder
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// In one write, so that nobody reads half of it.
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
    fn the_holder_and_the_opening_are_read_and_nothing_else() {
        let parse = |text| {
            let LockFileContent { holder, opening } = LockFileContent::parse(text);
            (holder, opening)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse(""), (None, None));
        assert_eq!(parse("process 7 (x)\n"), (some("process 7 (x)"), None));
        assert_eq!(parse("process 7 (x)\nopening O1\n"), (some("process 7 (x)"), some("O1")));
        assert_eq!(parse("\nopening O1\n"), (None, some("O1")));
        assert_eq!(parse("process 7 (x)\nsomething else\n").1, None);
    }
}

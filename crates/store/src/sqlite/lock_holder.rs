//! Which process has a database open, for the message to whoever tries to open it as well.

use std::fs;
use std::path::{Path, PathBuf};

use super::file_id::FileId;
use super::lock_file;

/// The process that has a database's lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LockHolder {
    /// The process in words, from the lock file if that is reliable.
    pub(super) description: String,
    /// Its id, if the operating system says so.
    pub(super) process_id: Option<u32>,
}

impl LockHolder {
    /// The process that has locked a file.
    ///
    /// The lock file beside this path may name another one. While the holder starts, the file
    /// still names the process before. If the holder has opened the database by another path, the
    /// file names whoever opened it by this one.
    pub(super) fn of(database: &Path, id: FileId) -> LockHolder {
        let line = lock_file::holder_in(database);
        match (process_that_locks(id), line) {
            (Some(process_id), line) => LockHolder::with_id(process_id, line),
            // Another user's process, or one in another container: the system does not say which.
            (None, Some(line)) => LockHolder { description: line, process_id: None },
            (None, None) => {
                LockHolder { description: "another process".to_owned(), process_id: None }
            }
        }
    }

    /// This process, which has the database open already.
    pub(super) fn this_process(database: &Path) -> LockHolder {
        LockHolder::with_id(std::process::id(), lock_file::holder_in(database))
    }

    fn with_id(process_id: u32, line: Option<String>) -> LockHolder {
        let prefix = format!("process {process_id} ");
        let description = line.filter(|line| line.starts_with(&prefix));
        let description = description.unwrap_or_else(|| match program_of(process_id) {
            Some(name) => format!("process {process_id} ({name})"),
            None => format!("process {process_id}"),
        });
        LockHolder { description, process_id: Some(process_id) }
    }
}

fn program_of(process_id: u32) -> Option<String> {
    let program = fs::read_link(format!("/proc/{process_id}/exe")).ok()?;
    Some(program.file_name()?.to_string_lossy().into_owned())
}

/// Searches the processes that we may look at, see proc_pid_fdinfo(5).
fn process_that_locks(id: FileId) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|process_id| {
        let folder = PathBuf::from(format!("/proc/{process_id}"));
        let Ok(open_files) = fs::read_dir(folder.join("fd")) else { return false };
        open_files.flatten().any(|file| {
            FileId::at(&file.path()).is_ok_and(|file_id| file_id == id)
                && fs::read_to_string(folder.join("fdinfo").join(file.file_name()))
                    .is_ok_and(|info| info.lines().any(|line| is_flock_of(line, *process_id)))
        })
    })
}

/// `lock: 1: FLOCK  ADVISORY  WRITE 1234 08:02:1234567 0 EOF`
fn is_flock_of(line: &str, process_id: u32) -> bool {
    let Some(lock) = line.strip_prefix("lock:") else { return false };
    let mut words = lock.split_whitespace().skip(1);
    words.next() == Some("FLOCK") && words.nth(2) == Some(&process_id.to_string())
}

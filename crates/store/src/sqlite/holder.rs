//! Which process has a database open, for the people who meet it.

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::lock_file_of;
use super::lock_file;
use super::place::FileId;

/// The process that has a database's lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Which one, as it says itself in the lock file.
    pub(super) description: String,
    /// Its id, if the operating system says so.
    pub(super) process_id: Option<u32>,
}

/// The one that has locked a file. The lock file beside this path may tell of another: if the
/// holder is just starting, of a dead one; and if it has opened the file by another path, of
/// whoever opened it by this one.
pub(super) fn of(database: &Path, id: FileId) -> Holder {
    let line = lock_file::holder_in(&lock_file_of(database));
    match (process_that_locks(id), line) {
        (Some(process_id), line) => described(process_id, line),
        // Another user's, or in another container: nobody says which.
        (None, Some(line)) => Holder { description: line, process_id: None },
        (None, None) => Holder { description: "another process".to_owned(), process_id: None },
    }
}

/// This process, which has it open already.
pub(super) fn this_process(database: &Path) -> Holder {
    described(std::process::id(), lock_file::holder_in(&lock_file_of(database)))
}

fn described(process_id: u32, line: Option<String>) -> Holder {
    let itself = format!("process {process_id} ");
    let description = line.filter(|line| line.starts_with(&itself));
    let description = description.unwrap_or_else(|| match name_of(process_id) {
        Some(name) => format!("process {process_id} ({name})"),
        None => format!("process {process_id}"),
    });
    Holder { description, process_id: Some(process_id) }
}

fn name_of(process_id: u32) -> Option<String> {
    let program = fs::read_link(format!("/proc/{process_id}/exe")).ok()?;
    Some(program.file_name()?.to_string_lossy().into_owned())
}

/// Among the processes that can be looked at, see proc_pid_fdinfo(5).
fn process_that_locks(id: FileId) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|process_id| {
        let folder = PathBuf::from(format!("/proc/{process_id}"));
        let Ok(open_files) = fs::read_dir(folder.join("fd")) else { return false };
        open_files.flatten().any(|file| {
            FileId::at(&file.path()).is_ok_and(|found| found == id)
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

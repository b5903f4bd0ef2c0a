//! The files beside a database's file: the write-ahead log, its index and the lock file.

use std::path::{Path, PathBuf};

/// The path of a database with a suffix: `-wal`, `-shm` or `.lock`.
pub(super) fn sidecar_path(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

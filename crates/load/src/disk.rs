//! Puts databases on a disk: on a file system in memory, commits would cost nothing.

use std::path::Path;

use crate::error::LoadError;

/// File systems in memory, by `f_type` (linux/magic.h).
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// All temporary files of this process will be in `directory`, which must be on a disk.
pub(crate) fn use_for_temporary_files(directory: &Path) -> Result<(), LoadError> {
    let place = directory.display();
    let file_system = rustix::fs::statfs(directory)
        .map_err(|error| format!("cannot use the folder {place}: {error}"))?;
    if [TMPFS, RAMFS].contains(&u64::try_from(file_system.f_type).unwrap_or_default()) {
        return Err(format!(
            "{place} is in memory, where commits cost nothing: give --directory a folder on a disk"
        )
        .into());
    }
    tempfile::env::override_temp_dir(directory)
        .map_err(|other| format!("temporary files are made in {} already", other.display()))?;
    Ok(())
}

//! The database's file: found, or created with its folder.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::open_error::{OpenError, file_error};
use super::sidecar::sidecar_path;
use crate::created_files::{CreatedFiles, sync_folder_of};

/// The file of a database, which exists, and what was created for it.
pub(super) struct DatabaseFile {
    /// The canonical path: without symbolic links.
    pub(super) path: PathBuf,
    pub(super) created: CreatedFiles,
}

impl DatabaseFile {
    /// Creates the file (mode 0600) and its folder (0700) if they are missing.
    pub(super) fn find_or_create(path: &Path) -> Result<DatabaseFile, OpenError> {
        // SQLite would take a relative path such as "file:x" for a URI.
        let path = std::path::absolute(path).map_err(file_error("find", path))?;
        let mut created = CreatedFiles::default();
        if let Some(folder) = path.parent() {
            created.create_folder(folder).map_err(file_error("make the folder", folder))?;
        }
        // Files that exist already are not ours to remove.
        let new = ["", "-wal", "-shm"].map(|suffix| sidecar_path(&path, suffix));
        let new: Vec<_> = new.into_iter().filter(|path| !path.exists()).collect();
        // SQLite gives the files that it creates beside it the same mode.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => {
                new.into_iter().for_each(|path| created.add_file(path));
                // Until its folder is synced, a power cut may remove the whole file.
                sync_folder_of(&path).map_err(file_error("make the file", &path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file_error("make the file", &path)(error)),
        }
        let path = fs::canonicalize(&path).map_err(file_error("find", &path))?;
        Ok(DatabaseFile { path, created })
    }

    /// Finds a file that must exist.
    pub(super) fn find(path: &Path) -> Result<DatabaseFile, OpenError> {
        match fs::canonicalize(path) {
            Ok(path) => Ok(DatabaseFile { path, created: CreatedFiles::default() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(OpenError::Missing { path: path.to_owned() })
            }
            Err(error) => Err(file_error("find", path)(error)),
        }
    }
}

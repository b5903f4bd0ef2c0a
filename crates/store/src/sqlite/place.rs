//! Where a database is: its folder and its file, made if they are missing.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::open::OpenError;
use crate::created_files::{CreatedFiles, sync_folder_of};

/// Which file something is, by whatever path: hard links and bind mounts of one have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn at(path: &Path) -> io::Result<FileId> {
        fs::metadata(path).map(|metadata| FileId::of(&metadata))
    }

    pub(super) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What has the name of a database and an ending: `-wal`, `-shm`, `.lock`.
pub(super) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// An error of a file or folder.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { action, path, source }
}

/// A database's file, which is there, and what was made for it.
pub(super) struct Place {
    /// The one path that all symbolic links lead to.
    pub(super) path: PathBuf,
    pub(super) created: CreatedFiles,
}

impl Place {
    /// Makes the file (mode 0600) and its folder if they are missing.
    pub(super) fn prepare(path: &Path) -> Result<Place, OpenError> {
        // SQLite would take a relative path such as "file:x" for a URI.
        let path = std::path::absolute(path).map_err(failed("find", path))?;
        let mut created = CreatedFiles::default();
        if let Some(folder) = path.parent() {
            created.create_folder(folder).map_err(failed("make the folder", folder))?;
        }
        // What is there of these is not ours to remove.
        let new = ["", "-wal", "-shm"].map(|ending| beside(&path, ending));
        let new: Vec<_> = new.into_iter().filter(|path| !path.exists()).collect();
        // SQLite gives the files that it makes beside it the same mode.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => {
                new.into_iter().for_each(|path| created.add_file(path));
                // Until its folder is synced, a power cut may take the file away as a whole.
                sync_folder_of(&path).map_err(failed("make the file", &path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make the file", &path)(error)),
        }
        let path = fs::canonicalize(&path).map_err(failed("find", &path))?;
        Ok(Place { path, created })
    }

    /// The same for a file that must be there.
    pub(super) fn existing(path: &Path) -> Result<Place, OpenError> {
        match fs::canonicalize(path) {
            Ok(path) => Ok(Place { path, created: CreatedFiles::default() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(OpenError::Missing { path: path.to_owned() })
            }
            Err(error) => Err(failed("find", path)(error)),
        }
    }
}

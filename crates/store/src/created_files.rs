//! What a start makes in the file system, and takes back if it fails after all.
//!
//! Decision: docs/decisions/a-start-checks-before-it-makes.md

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Files and folders that were made. They are removed again when this is dropped, unless it was
/// told to keep them: a start that fails leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct CreatedFiles {
    /// From the outermost to the innermost.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl CreatedFiles {
    /// A file that goes with the others.
    pub(crate) fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// The start has succeeded: everything stays.
    pub(crate) fn keep(&mut self) {
        self.folders.clear();
        self.files.clear();
    }

    /// Makes a folder (mode 0700) with those above it, durably.
    pub(crate) fn create_folder(&mut self, folder: &Path) -> io::Result<()> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => self.folders.push(folder.to_owned()),
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(error) => return Err(error),
            }
            sync_folder_of(folder)?;
        }
        Ok(())
    }
}

impl Drop for CreatedFiles {
    fn drop(&mut self) {
        for file in &self.files {
            _ = fs::remove_file(file);
        }
        // One in which somebody else has put something stays.
        for folder in self.folders.iter().rev() {
            _ = fs::remove_dir(folder);
        }
    }
}

/// Until the folder is synced, a power cut may take away a name that is new in it, or bring back
/// one that was replaced.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

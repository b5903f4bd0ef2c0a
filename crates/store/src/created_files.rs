//! Files and folders that a start creates, and removes again if it fails.
//!
//! Decision: docs/decisions/a-start-checks-before-it-makes.md

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Created files and folders. Dropping this removes them, unless [`keep`](CreatedFiles::keep) was
/// called before: a start that fails leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct CreatedFiles {
    /// From the outermost to the innermost.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl CreatedFiles {
    pub(crate) fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// The start has succeeded: everything stays.
    pub(crate) fn keep(&mut self) {
        self.folders.clear();
        self.files.clear();
    }

    /// Creates a folder and its missing parents durably (mode 0700).
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
        // A folder that holds other files stays.
        for folder in self.folders.iter().rev() {
            _ = fs::remove_dir(folder);
        }
    }
}

/// Makes names in a path's folder durable. Before that, a power cut may remove a new name, or bring
/// back a replaced one.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

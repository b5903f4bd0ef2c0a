//! The file of master keys: reading, creating and changing it, so that nobody ever reads half of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::KeyringError;
use super::master_keys::{MasterKey, MasterKeys, key_parts};
use crate::created_files::{CreatedFiles, sync_folder_of};

/// Far more than the most keys take, with a comment each.
const MAX_FILE_BYTES: u64 = 64 * 1_024;

/// Reads the keys of a file, which only its owner may be able to read.
pub(super) fn load(path: &Path) -> Result<MasterKeys, KeyringError> {
    MasterKeys::parse(&read(path)?, &path.display().to_string())
}

/// A key file that only this process may change now. Anybody with the right may read it meanwhile.
pub struct KeyFile {
    path: PathBuf,
    entries: Vec<Entry>,
    _locked: File,
}

/// A line of the file: a key with its comment, or only a comment.
struct Entry {
    text: Zeroizing<String>,
    key: Option<MasterKey>,
}

impl Entry {
    fn of(key: &MasterKey) -> Entry {
        let text = format!("{} # id {}", key.to_hex().as_str(), key.id());
        Entry { text: Zeroizing::new(text), key: Some(key.clone()) }
    }
}

impl KeyFile {
    /// Opens a file to change it, and locks it: other processes that want to change it are refused.
    /// The lock is on `<file>.lock`, since the file itself is replaced.
    pub fn open(path: &Path) -> Result<KeyFile, KeyringError> {
        // Replace the file and not a link to it.
        let path = fs::canonicalize(path).map_err(failed("find", path))?;
        let locked = lock(&path)?;
        let text = read(&path)?;
        MasterKeys::parse(&text, &path.display().to_string())?;
        let mut entries = Vec::new();
        for line in text.lines() {
            let keys: Vec<_> = key_parts(line).filter_map(MasterKey::from_hex).collect();
            match keys.as_slice() {
                [_, _, ..] => entries.extend(keys.iter().map(Entry::of)),
                one_or_none => entries.push(Entry {
                    text: Zeroizing::new(line.to_owned()),
                    key: one_or_none.first().cloned(),
                }),
            }
        }
        Ok(KeyFile { path, entries, _locked: locked })
    }

    /// The keys in their order.
    pub fn keys(&self) -> Vec<MasterKey> {
        self.entries.iter().filter_map(|entry| entry.key.clone()).collect()
    }

    /// Puts a key first, whether it is in the file or new.
    pub fn put_first(&mut self, key: &MasterKey) -> Result<(), KeyringError> {
        let entry = self.take(key).unwrap_or_else(|| Entry::of(key));
        self.entries.insert(self.first_key(), entry);
        self.replace()
    }

    /// Adds a new key behind the first one.
    pub fn add_behind_first(&mut self, key: &MasterKey) -> Result<(), KeyringError> {
        self.entries.insert(self.first_key() + 1, Entry::of(key));
        self.replace()
    }

    /// Removes keys, but never the first one.
    pub fn remove(&mut self, ids: &[String]) -> Result<(), KeyringError> {
        let first = self.first_key();
        let mut number = 0;
        self.entries.retain(|entry| {
            let is_first = number == first;
            number += 1;
            is_first || !entry.key.as_ref().is_some_and(|key| ids.iter().any(|id| id == key.id()))
        });
        self.replace()
    }

    fn first_key(&self) -> usize {
        self.entries.iter().position(|entry| entry.key.is_some()).unwrap_or(0)
    }

    /// Removes a key's entries and returns the first of them.
    fn take(&mut self, key: &MasterKey) -> Option<Entry> {
        let mut taken = None;
        while let Some(at) = self.entries.iter().position(|entry| entry.key.as_ref() == Some(key)) {
            let entry = self.entries.remove(at);
            taken = taken.or(Some(entry));
        }
        taken
    }

    /// Replaces the file by a new one with the same owner: a command that root runs must not make it
    /// unreadable for the server.
    fn replace(&self) -> Result<(), KeyringError> {
        let draft = draft_of(&self.path);
        let written = write_draft(&draft, &self.text()).and_then(|()| {
            #[cfg(unix)]
            give_to_the_owner_of(&self.path, &draft)?;
            fs::rename(&draft, &self.path)?;
            sync_folder_of(&self.path)
        });
        written.map_err(|error| {
            // The draft holds keys, and nobody uses it.
            _ = fs::remove_file(&draft);
            failed("replace", &self.path)(error)
        })
    }

    fn text(&self) -> Zeroizing<String> {
        let length = self.entries.iter().map(|entry| entry.text.len() + 1).sum();
        // Large enough, so that it is never moved and leaves no copy in memory.
        let mut text = Zeroizing::new(String::with_capacity(length));
        for entry in &self.entries {
            text.push_str(&entry.text);
            text.push('\n');
        }
        text
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let file = File::open(path).map_err(failed("read", path))?;
    let metadata = file.metadata().map_err(failed("read", path))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Exposed { path: path.to_owned(), mode });
        }
    }
    if metadata.len() > MAX_FILE_BYTES {
        let too_large = io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be one");
        return Err(failed("read", path)(too_large));
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
    let read = file.take(MAX_FILE_BYTES).read_to_string(&mut text);
    read.map_err(failed("read", path))?;
    Ok(text)
}

/// Creates a file with one key (mode 0600), unless another process has created it first. Dropping the
/// result removes what was created, unless it is kept.
pub(super) fn create(path: &Path) -> Result<CreatedFiles, KeyringError> {
    let mut created = CreatedFiles::default();
    if let Some(folder) = path.parent() {
        created.create_folder(folder).map_err(failed("make the folder of", path))?;
    }
    // Written to another name and linked, so that nobody ever reads half a key, and one of two
    // processes that start at once wins.
    let draft = draft_of(path);
    let text = Zeroizing::new(format!("{}\n", Entry::of(&MasterKey::generate()).text.as_str()));
    let linked = write_draft(&draft, &text).and_then(|()| fs::hard_link(&draft, path));
    _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => created.add_file(path.to_owned()),
        // Another process created it, which we must not remove.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make", path)(error)),
    }
    sync_folder_of(path).map_err(failed("make", path))?;
    Ok(created)
}

/// Checks that a file could be created, before anything else is. Leaves nothing behind.
pub(super) fn check_place(path: &Path) -> Result<(), KeyringError> {
    let mut created = CreatedFiles::default();
    if let Some(folder) = path.parent() {
        created.create_folder(folder).map_err(failed("make the folder of", path))?;
    }
    let draft = draft_of(path);
    let written = write_draft(&draft, "");
    _ = fs::remove_file(&draft);
    written.map_err(failed("make", path))
}

fn draft_of(path: &Path) -> PathBuf {
    beside(path, &format!(".draft-{}", std::process::id()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Writes a file durably, which only its owner may read.
fn write_draft(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private().create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn give_to_the_owner_of(original: &Path, copy: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let (original, made) = (fs::metadata(original)?, fs::metadata(copy)?);
    if (original.uid(), original.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    chown(copy, Some(original.uid()), Some(original.gid()))
}

fn lock(path: &Path) -> Result<File, KeyringError> {
    let lock_path = beside(path, ".lock");
    let file = private().create(true).truncate(false).open(&lock_path);
    let file = file.map_err(failed("lock", path))?;
    #[cfg(unix)]
    give_to_the_owner_of(path, &lock_path).map_err(failed("lock", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(KeyringError::FileInUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::File { action, path, source }
}

#[cfg(test)]
mod tests;

//! A simulated disk that keeps what was synced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::Operation;

/// A disk writes a sector completely or not at all, in bytes.
const SECTOR: usize = 512;

/// Files with their synced content and their later changes.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<Arc<Path>, File>,
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    later: Vec<Operation>,
}

/// How much of a change that was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// The first sector of a write.
    FirstSector,
    All,
}

impl Disk {
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Note(_) => {}
            Operation::Remove { file } => _ = self.files.remove(file),
            Operation::Sync { file } => {
                let file = self.files.entry(Arc::clone(file)).or_default();
                for change in std::mem::take(&mut file.later) {
                    change_bytes(&mut file.synced, &change, Kept::All);
                }
            }
            Operation::Write { file, .. } | Operation::Truncate { file, .. } => {
                let file = self.files.entry(Arc::clone(file)).or_default();
                file.later.push(operation.clone());
            }
        }
    }

    /// The files after a power cut. `kept` decides for each unsynced change, since a disk writes them
    /// in any order.
    pub fn after_power_cut(&self, mut kept: impl FnMut() -> Kept) -> Vec<(Arc<Path>, Vec<u8>)> {
        let files = self.files.iter().map(|(path, file)| {
            let mut bytes = file.synced.clone();
            for change in &file.later {
                change_bytes(&mut bytes, change, kept());
            }
            (Arc::clone(path), bytes)
        });
        files.collect()
    }

    pub fn unsynced(&self) -> usize {
        self.files.values().map(|file| file.later.len()).sum()
    }
}

fn change_bytes(content: &mut Vec<u8>, change: &Operation, kept: Kept) {
    match (change, kept) {
        (_, Kept::Nothing) => {}
        (Operation::Write { offset, bytes, .. }, kept) => {
            let length = if kept == Kept::All { bytes.len() } else { bytes.len().min(SECTOR) };
            let from = usize::try_from(*offset).expect("a test's files are small");
            if content.len() < from + length {
                content.resize(from + length, 0);
            }
            content[from..from + length].copy_from_slice(&bytes[..length]);
        }
        (Operation::Truncate { length, .. }, _) => {
            content.truncate(usize::try_from(*length).expect("a test's files are small"));
        }
        (Operation::Sync { .. } | Operation::Remove { .. } | Operation::Note(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_is_certain() {
        let file: Arc<Path> = Path::new("file").into();
        let write = |offset, text: &[u8]| Operation::Write {
            file: Arc::clone(&file),
            offset,
            bytes: text.into(),
        };
        let mut disk = Disk::default();
        disk.apply(&write(0, b"abcdef"));
        let content = |disk: &Disk, kept| disk.after_power_cut(|| kept).remove(0).1;
        assert_eq!(content(&disk, Kept::Nothing), b"");
        assert_eq!(content(&disk, Kept::All), b"abcdef");
        disk.apply(&Operation::Sync { file: Arc::clone(&file) });
        disk.apply(&write(4, &[b'x'; 600]));
        disk.apply(&Operation::Truncate { file: Arc::clone(&file), length: 2 });
        assert_eq!((disk.unsynced(), content(&disk, Kept::Nothing)), (2, b"abcdef".to_vec()));
        assert_eq!(content(&disk, Kept::All), b"ab");
        let mut kept = [Kept::FirstSector, Kept::Nothing].into_iter();
        let torn = disk.after_power_cut(|| kept.next().expect("two changes")).remove(0).1;
        assert_eq!(torn.len(), 4 + SECTOR);
    }
}

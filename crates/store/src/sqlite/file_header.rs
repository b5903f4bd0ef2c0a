//! The header of a database's file:
//! <https://www.sqlite.org/fileformat2.html#the_database_header>.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How every file of SQLite begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The versions of the format that a writer and a reader need, and their values in WAL mode.
const VERSIONS: Range<usize> = 18..20;
const WAL_VERSIONS: [u8; 2] = [2, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) is_empty: bool,
    pub(super) is_in_wal_mode: bool,
}

impl FileHeader {
    /// None: the file is neither empty nor SQLite's.
    pub(super) fn read(file: &File) -> io::Result<Option<FileHeader>> {
        let mut bytes = [0; VERSIONS.end];
        match file.metadata()?.len() {
            0 => return Ok(Some(FileHeader { is_empty: true, is_in_wal_mode: false })),
            length if length < bytes.len() as u64 => return Ok(None),
            _ => file.read_exact_at(&mut bytes, 0)?,
        }
        let header =
            FileHeader { is_empty: false, is_in_wal_mode: bytes[VERSIONS] == WAL_VERSIONS };
        Ok(bytes.starts_with(MAGIC).then_some(header))
    }
}

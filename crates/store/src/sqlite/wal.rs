//! The format of the write-ahead log, as far as it is needed to count the transactions in it:
//! <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::sidecar::sidecar_path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit is the byte order of the checksums, which are not checked.
const MAGIC: u32 = 0x377f_0682;
/// Page sizes are powers of two, from 512 bytes to 64 KiB.
const MAX_PAGE_BYTES: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wal {
    pub(super) bytes: u64,
    /// The transactions of the log's current round, or a few more: whether the last ones are
    /// complete is not checked.
    pub(super) commits: u64,
}

impl Wal {
    /// The log of a database, if the file exists. SQLite must not have the database open.
    pub(super) fn of(database: &Path) -> io::Result<Option<Wal>> {
        match File::open(sidecar_path(database, "-wal")) {
            Ok(file) => {
                let bytes = file.metadata()?.len();
                let commits = count_commits(BufReader::new(file))?;
                Ok(Some(Wal { bytes, commits }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A frame belongs to the log's current round if it has the salts of the log's header. In the last
/// frame of a transaction the size of the database follows the page number, in the others zero.
fn count_commits(mut log: BufReader<impl Read + Seek>) -> io::Result<u64> {
    let Some(header) = read_header::<HEADER_BYTES>(&mut log)? else { return Ok(0) };
    let (magic, page_bytes) = (big_endian(&header, 0), big_endian(&header, 8));
    let is_page_size = page_bytes.is_power_of_two() && (512..=MAX_PAGE_BYTES).contains(&page_bytes);
    if magic & !1 != MAGIC || !is_page_size {
        return Ok(0);
    }
    let mut commits = 0;
    while let Some(frame) = read_header::<FRAME_HEADER_BYTES>(&mut log)? {
        if frame[8..16] != header[16..24] {
            break;
        }
        commits += u64::from(big_endian(&frame, 4) != 0);
        log.seek_relative(i64::from(page_bytes))?;
    }
    Ok(commits)
}

/// None: the log ends before.
fn read_header<const BYTES: usize>(log: &mut impl Read) -> io::Result<Option<[u8; BYTES]>> {
    let mut header = [0; BYTES];
    match log.read_exact(&mut header) {
        Ok(()) => Ok(Some(header)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The big-endian number at an offset of a header that is long enough.
fn big_endian(header: &[u8], offset: usize) -> u32 {
    let bytes = header[offset..].iter().take(4);
    bytes.fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn log(frames: &[(u32, u64)]) -> Vec<u8> {
        let mut log = Vec::new();
        for word in [MAGIC | 1, 3_007_000, 512, 0] {
            log.extend(word.to_be_bytes());
        }
        log.extend(SALTS.to_be_bytes());
        log.extend([0; 8]);
        for (size, salts) in frames {
            log.extend(1_u32.to_be_bytes());
            log.extend(size.to_be_bytes());
            log.extend(salts.to_be_bytes());
            log.extend([0; 8 + 512]);
        }
        log
    }

    const SALTS: u64 = 0x0123_4567_89ab_cdef;

    fn commits(log: &[u8]) -> u64 {
        count_commits(BufReader::new(Cursor::new(log))).expect("reads")
    }

    #[test]
    fn transactions_are_counted_by_their_last_frames() {
        assert_eq!(commits(&log(&[])), 0);
        assert_eq!(commits(&log(&[(0, SALTS), (7, SALTS), (8, SALTS), (0, SALTS)])), 2);
    }

    #[test]
    fn frames_of_an_earlier_round_are_not_counted() {
        assert_eq!(commits(&log(&[(7, SALTS), (8, SALTS - 1), (9, SALTS)])), 1);
    }

    #[test]
    fn a_file_that_is_not_a_log_has_no_transactions() {
        assert_eq!(commits(b""), 0);
        let whole = log(&[(7, SALTS)]);
        assert_eq!(commits(&whole[..HEADER_BYTES + 10]), 0);
        assert_eq!(commits(&[0; 4_096]), 0);
        let mut no_page_size = whole;
        no_page_size[8..12].fill(0);
        assert_eq!(commits(&no_page_size), 0);
    }
}

//! What a power cut would leave of a SQLite database. For tests only.
//!
//! [`record`] puts a layer below SQLite, between it and the operating system's files, that
//! remembers every write, truncation and sync. [`Disk`] replays them like a disk that keeps what
//! was synced, and of everything later whatever it likes. So a test can cut the power after any
//! operation, give the files to the product, and see whether what was acknowledged is there.
//!
//! Names are taken for durable as soon as they are made: SQLite syncs the folder of a write-ahead
//! log with the log itself, below this layer. (Of the database's own file, the product does.)

mod disk;
mod layer;

use std::path::Path;
use std::sync::Arc;

pub use disk::{Disk, Kept};
pub use layer::{note, operations, record};

/// Something that was done to a file, or that the test has noted between.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Bytes were written at an offset.
    Write {
        /// Where.
        file: Arc<Path>,
        /// In bytes from the beginning.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A file was cut.
    Truncate {
        /// Which.
        file: Arc<Path>,
        /// How many bytes are left.
        length: u64,
    },
    /// All that was done to a file before is durable.
    Sync {
        /// Which.
        file: Arc<Path>,
    },
    /// A file was removed.
    Remove {
        /// Which.
        file: Arc<Path>,
    },
    /// The test noted something: that so much has been acknowledged.
    Note(usize),
}

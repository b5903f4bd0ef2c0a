//! Simulates power cuts for SQLite. For tests only.
//!
//! [`record`] installs a layer between SQLite and the operating system's files that records every
//! write, truncation and sync. [`Disk`] replays them like a disk that keeps what was synced, and any
//! part of what came later. So a test can cut the power after any operation, give the files to the
//! product, and check that what was acknowledged is there.
//!
//! File names count as durable as soon as they are made: SQLite syncs the folder of a write-ahead log
//! with the log itself, below this layer. (The product does that for the database's own file.)

mod disk;
mod layer;

use std::path::Path;
use std::sync::Arc;

pub use disk::{Disk, Kept};
pub use layer::{note, operations, record};

/// A change of a file, or a note of the test.
#[derive(Debug, Clone)]
pub enum Operation {
    Write {
        file: Arc<Path>,
        /// In bytes.
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Truncate {
        file: Arc<Path>,
        /// How many bytes remain.
        length: u64,
    },
    /// All earlier changes of the file are durable.
    Sync {
        file: Arc<Path>,
    },
    Remove {
        file: Arc<Path>,
    },
    /// A number that the test noted, for example how much has been acknowledged.
    Note(usize),
}

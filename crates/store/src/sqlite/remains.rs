//! What a process has left of a database that did not close it, for the people who run it.

use std::path::Path;

use sqlx::SqliteConnection;

use super::lock_file::Left;
use super::marks::{Found, Known, Marks, last_position};

/// What there was before SQLite opened the file.
#[derive(Debug)]
pub(super) enum Remains {
    /// A write-ahead log, which SQLite recovers.
    Log {
        /// What the process had written into the lock file.
        process: Option<String>,
        /// How much was in it.
        bytes: u64,
        /// Up to which record the file itself tells, if it can be read without that log.
        last_position: Option<i64>,
    },
    /// A file that was open when this copy of it was made.
    Copy,
}

impl Remains {
    /// None: the database is new, or was closed properly.
    pub(super) fn of(found: &Found, left: &Left) -> Option<Remains> {
        if found.is_a_copy() {
            return Some(Remains::Copy);
        }
        let wal = found.wal.filter(|wal| wal.bytes > 0)?;
        if found.both.is_closed() {
            return None;
        }
        let last_position = match &found.file {
            Known::Marks(Marks { last_position, .. }) => Some(*last_position),
            // All that there is may be in the log.
            Known::NoTables => Some(0),
            Known::Nothing => None,
        };
        Some(Remains::Log { process: left.holder.clone(), bytes: wal.bytes, last_position })
    }

    /// Says what was found, now that SQLite has recovered it.
    pub(super) async fn tell(
        self,
        path: &Path,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let now = last_position(connection).await?;
        match self {
            Remains::Log { process, bytes, last_position } => tracing::info!(
                database = %path.display(),
                process = process.as_deref().unwrap_or("unknown"),
                write_ahead_log_bytes = bytes,
                recovered_records = last_position.map(|known| now.saturating_sub(known).max(0)),
                last_position = now,
                "the database was not closed the last time; what was committed has been recovered"
            ),
            Remains::Copy => tracing::warn!(
                database = %path.display(),
                last_position = now,
                "the database is a copy of one that was open: a backup made by SQLite (.backup, VACUUM INTO) is complete; a copy of the file alone lacks what was committed last, which is in the -wal file beside the original"
            ),
        }
        Ok(())
    }
}

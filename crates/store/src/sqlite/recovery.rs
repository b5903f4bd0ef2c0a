//! What opening recovers of a database that was not closed, for the log.

use std::path::Path;

use sqlx::SqliteConnection;

use super::commit_state::{CommitState, Contents, last_position};
use super::inspection::Inspection;

/// The state in which the database was left.
#[derive(Debug)]
pub(super) enum Recovery {
    /// With a write-ahead log, which SQLite recovers.
    Log {
        /// The process that had it open, from the lock file.
        process: Option<String>,
        bytes: u64,
        /// Of the file without the log. None: it cannot be read without it.
        last_position: Option<i64>,
    },
    /// As a copy of a file that was open.
    Copy,
}

impl Recovery {
    /// None: the database is new, or was closed properly.
    pub(super) fn of(inspection: &Inspection, last_holder: Option<String>) -> Option<Recovery> {
        if inspection.is_a_copy() {
            return Some(Recovery::Copy);
        }
        let wal = inspection.wal.filter(|wal| wal.bytes > 0)?;
        if inspection.combined.is_closed() {
            return None;
        }
        let last_position = match &inspection.file {
            Contents::Tables(CommitState { last_position, .. }) => Some(*last_position),
            // All records may be in the log.
            Contents::NoTables => Some(0),
            Contents::Unknown => None,
        };
        Some(Recovery::Log { process: last_holder, bytes: wal.bytes, last_position })
    }

    /// Logs the recovery, after SQLite has done it.
    pub(super) async fn log(
        self,
        path: &Path,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let now = last_position(connection).await?;
        match self {
            Recovery::Log { process, bytes, last_position } => tracing::info!(
                database = %path.display(),
                process = process.as_deref().unwrap_or("unknown"),
                write_ahead_log_bytes = bytes,
                recovered_records = last_position.map(|known| now.saturating_sub(known).max(0)),
                last_position = now,
                "the database was not closed the last time; what was committed has been recovered"
            ),
            Recovery::Copy => tracing::warn!(
                database = %path.display(),
                last_position = now,
                "the database is a copy of one that was open: a backup made by SQLite (.backup, VACUUM INTO) is complete; a copy of the file alone lacks what was committed last, which is in the -wal file beside the original"
            ),
        }
        Ok(())
    }
}

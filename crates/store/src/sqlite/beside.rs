//! OpenMode a file that another process has open: for administration that does not concern the log.

use std::fs;
use std::path::Path;

use sqlx::{ConnectOptions, SqliteConnection};

use super::SqliteStore;
use super::open::{
    MIGRATIONS, OpenError, SqliteOptions, applied_migrations, describe, is_ours, shard_count,
    writing_options,
};
use super::place::failed;
use crate::migration_state::{MigrationState, migration_state};

impl SqliteStore {
    /// Opens a database beside the process that has it open, for administration: the keys of
    /// the secrets and the bodies may be read and written, since that process keeps nothing of
    /// them that must agree with the file. What has happened to keys, and what operators do, may
    /// be appended to the log: that process takes its next positions from the file, and reads
    /// what it has not appended itself from there. The rest of the log, the other projections and
    /// the leases must be left alone: they are that process's.
    ///
    /// The file must exist and have the tables of this version.
    pub async fn open_beside(
        path: &Path,
        options: SqliteOptions,
    ) -> Result<SqliteStore, OpenError> {
        let path = fs::canonicalize(path).map_err(failed("find", path))?;
        let connection = writing_options(&path).connect().await;
        let mut connection = connection.map_err(describe(&path))?;
        if !has_these_tables(&mut connection).await.map_err(describe(&path))? {
            return Err(OpenError::OtherVersion { path });
        }
        let shard_count = shard_count(&mut connection).await.map_err(describe(&path))?;
        Self::with(&path, connection, shard_count, options.clock, None)
    }
}

/// Whether the tables are those of this version, no more and no less.
async fn has_these_tables(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if !is_ours(connection).await? {
        return Ok(false);
    }
    Ok(migration_state(&applied_migrations(connection).await?, &MIGRATIONS)
        == MigrationState::Current)
}

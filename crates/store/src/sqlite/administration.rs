//! Opening a database that another process has open, for administration that does not concern the
//! log.

use std::fs;
use std::path::Path;

use sqlx::{ConnectOptions, SqliteConnection};

use super::connect_options::writing_options;
use super::migrations::{MIGRATIONS, applied_migrations, is_ours};
use super::open::{SqliteOptions, shard_count};
use super::open_error::{OpenError, database_error, file_error};
use super::store::SqliteStore;
use crate::migration_state::{MigrationState, migration_state};

impl SqliteStore {
    /// Opens a database beside the process that has it open, for administration. The file must
    /// exist and have the tables of this version.
    ///
    /// The keys of the secrets and the bodies may be read and written, since the other process
    /// keeps nothing in memory that must agree with them. Records about keys and about what
    /// operators do may be appended to the log: the other process takes its next positions from
    /// the file, and reads from it what it has not appended itself. The rest of the log, the other
    /// projections and the leases are the other process's, and must be left alone.
    pub async fn open_for_administration(
        path: &Path,
        options: SqliteOptions,
    ) -> Result<SqliteStore, OpenError> {
        let path = fs::canonicalize(path).map_err(file_error("find", path))?;
        let connection = writing_options(&path).connect().await;
        let mut connection = connection.map_err(database_error(&path))?;
        if !has_current_tables(&mut connection).await.map_err(database_error(&path))? {
            return Err(OpenError::OtherVersion { path });
        }
        let shard_count = shard_count(&mut connection).await.map_err(database_error(&path))?;
        Self::with(&path, connection, shard_count, options.clock, None)
    }
}

/// Whether the tables are exactly those of this version.
async fn has_current_tables(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if !is_ours(connection).await? {
        return Ok(false);
    }
    Ok(migration_state(&applied_migrations(connection).await?, &MIGRATIONS)
        == MigrationState::Current)
}

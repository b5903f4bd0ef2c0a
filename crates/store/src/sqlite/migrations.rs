//! Which migrations a database has, and which this program knows.

use sqlx::migrate::Migrator;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::store_error;
use crate::error::StoreError;
use crate::migration_state::AppliedMigration;
use crate::store::TableVersions;

pub(super) static MIGRATIONS: Migrator = sqlx_macros::migrate!("../../migrations/sqlite");

pub(super) fn last_migration() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// In their order; none if the database is empty.
pub(super) async fn applied_migrations(
    connection: &mut SqliteConnection,
) -> Result<Vec<AppliedMigration>, sqlx::Error> {
    let has_any = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    match sqlx::query_scalar(has_any).fetch_one(&mut *connection).await? {
        true => {
            let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version",
            )
            .fetch_all(connection)
            .await?;
            Ok(applied.into_iter().map(AppliedMigration::from).collect())
        }
        false => Ok(Vec::new()),
    }
}

/// Whether the database is empty, or was created by this program.
pub(super) async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (is_empty, is_migrated): (bool, bool) = sqlx::query_as(
        "SELECT COUNT(*) = 0, COUNT(*) FILTER (WHERE name = '_sqlx_migrations') = 1
         FROM sqlite_schema",
    )
    .fetch_one(connection)
    .await?;
    Ok(is_empty || is_migrated)
}

pub(super) async fn table_versions(readers: &SqlitePool) -> Result<TableVersions, StoreError> {
    let (found,): (i64,) =
        sqlx::query_as("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(readers)
            .await
            .map_err(store_error)?;
    Ok(TableVersions { found, needed: last_migration() })
}

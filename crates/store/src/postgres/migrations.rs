//! Which migrations a database has, and which this program knows.

use sqlx::migrate::Migrator;

use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::store::TableVersions;

pub(super) static MIGRATIONS: Migrator = sqlx_macros::migrate!("../../migrations/postgres");

pub(super) fn last_migration() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

pub(super) async fn table_versions(readers: &Pool) -> Result<TableVersions, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT coalesce(max(version), 0)
         FROM _sqlx_migrations
         WHERE success",
    );
    let found = fetch(readers, query).await?.first().map_or(0, |(version,)| *version);
    Ok(TableVersions { found, needed: last_migration() })
}

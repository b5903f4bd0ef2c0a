//! Erases keys and bodies so that they are not in the file any more.
//!
//! SQLite only forgets where deleted rows were, and leaves their bytes in the file until others
//! overwrite them. With `secure_delete` it overwrites them with zeros
//! (<https://www.sqlite.org/pragma.html#pragma_secure_delete>). `FAST` does so in the pages that
//! are written anyway. It is always on, since rows are also moved from page to page and would leave
//! copies behind. `ON` costs a write for each freed page, and large bodies consist of such pages.
//! So it is only on during an erasure. Copies in the WAL disappear when it is emptied.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::errors::{commit_error, store_error};
use super::writer::begin;
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::sql::erased_page::{self, ErasedPage, OwnerTable};
use crate::sql::row_limit;
use crate::store::ErasedBodies;
use crate::tables::micros;

/// Erases an organization's data key, and leaves a row with the time of it.
pub(super) async fn data_key(
    connection: &mut SqliteConnection,
    shard: Shard,
    organization: &OrganizationId,
    now: Timestamp,
) -> Result<(), StoreError> {
    set_secure_delete(connection, SecureDelete::On).await?;
    let mut transaction = begin(connection).await?;
    sqlx::query(
        "INSERT INTO data_keys (shard, organization_id, create_time, erase_time)
         VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (shard, organization_id) DO UPDATE SET
             master_key_id = NULL,
             nonce = NULL,
             wrapped = NULL,
             erase_time = coalesce(erase_time, excluded.erase_time)",
    )
    .bind(i64::from(shard.0))
    .bind(organization.as_str())
    .bind(micros(now))
    .execute(&mut *transaction)
    .await
    .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    set_secure_delete(connection, SecureDelete::Fast).await?;
    empty_wal(connection).await
}

/// How many rows [`bodies`] goes through in all.
pub(super) async fn count(
    readers: impl SqliteExecutor<'_>,
    shard: Shard,
    organization: &OrganizationId,
) -> Result<u64, StoreError> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM events WHERE shard = ?1 AND organization_id = ?2)
              + (SELECT count(*) FROM attempts WHERE shard = ?1 AND organization_id = ?2)",
    )
    .bind(i64::from(shard.0))
    .bind(organization.as_str())
    .fetch_one(readers)
    .await
    .map_err(store_error)?;
    Ok(count.unsigned_abs())
}

/// Erases the bodies of a page of an organization's events or attempts.
pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    organization: &OrganizationId,
    after: Option<BodyId>,
    limit: usize,
) -> Result<ErasedBodies, StoreError> {
    set_secure_delete(connection, SecureDelete::On).await?;
    let mut transaction = begin(connection).await?;
    let after = after.unwrap_or(erased_page::FIRST);
    let table = OwnerTable::of(after);
    let (examined, last): (i64, Option<String>) = sqlx::query_as(select_page(table))
        .bind(i64::from(shard.0))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(row_limit(limit))
        .fetch_one(&mut *transaction)
        .await
        .map_err(store_error)?;
    let deleted = sqlx::query(delete_bodies(table))
        .bind(i64::from(shard.0))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(&last)
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    set_secure_delete(connection, SecureDelete::Fast).await?;
    let page = ErasedPage { examined, deleted: deleted.rows_affected(), last };
    let erased = page.read(table, limit)?;
    if erased.next.is_none() {
        empty_wal(connection).await?;
    }
    Ok(erased)
}

/// The number of events or attempts on the page, and the last one.
fn select_page(table: OwnerTable) -> &'static str {
    match table {
        OwnerTable::Events => {
            "SELECT COUNT(*), MAX(event_id)
             FROM (
                 SELECT event_id FROM events
                 WHERE shard = ? AND organization_id = ? AND event_id > ?
                 ORDER BY event_id
                 LIMIT ?
             )"
        }
        OwnerTable::Attempts => {
            "SELECT COUNT(*), MAX(attempt_id)
             FROM (
                 SELECT attempt_id FROM attempts
                 WHERE shard = ? AND organization_id = ? AND attempt_id > ?
                 ORDER BY attempt_id
                 LIMIT ?
             )"
        }
    }
}

fn delete_bodies(table: OwnerTable) -> &'static str {
    match table {
        OwnerTable::Events => {
            "DELETE FROM bodies
             WHERE shard = ?1 AND id IN (
                 SELECT event_id FROM events
                 WHERE shard = ?1 AND organization_id = ?2 AND event_id > ?3 AND event_id <= ?4
             )"
        }
        OwnerTable::Attempts => {
            "DELETE FROM bodies
             WHERE shard = ?1 AND id IN (
                 SELECT attempt_id FROM attempts
                 WHERE shard = ?1 AND organization_id = ?2
                   AND attempt_id > ?3 AND attempt_id <= ?4
             )"
        }
    }
}

/// The pragma `secure_delete`.
#[derive(Clone, Copy)]
enum SecureDelete {
    Fast,
    On,
}

/// After an error, also of the next statements, the connection is given up.
async fn set_secure_delete(
    connection: &mut SqliteConnection,
    value: SecureDelete,
) -> Result<(), StoreError> {
    let pragma = match value {
        SecureDelete::Fast => "PRAGMA secure_delete = FAST",
        SecureDelete::On => "PRAGMA secure_delete = ON",
    };
    sqlx::raw_sql(pragma).execute(connection).await.map_err(store_error)?;
    Ok(())
}

/// Moves the WAL into the file and empties it. If somebody reads a page of it, this is left to the
/// next writes, or to the end of the process.
async fn empty_wal(executor: impl SqliteExecutor<'_>) -> Result<(), StoreError> {
    let (is_busy,): (bool,) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(executor)
        .await
        .map_err(store_error)?;
    if is_busy {
        tracing::info!("what was erased stays in the write-ahead log until readers have finished");
    }
    Ok(())
}

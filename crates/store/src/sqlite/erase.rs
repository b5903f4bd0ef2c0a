//! Erasing: deleted so that it is not in the file any more.
//!
//! SQLite only forgets where deleted rows were, and leaves their bytes in the file until others
//! are written over them. With `secure_delete` it writes zeros over them
//! (<https://www.sqlite.org/pragma.html#pragma_secure_delete>). `FAST` does so in the pages that
//! are written anyway, and is always on: rows are also moved from page to page, and would leave
//! copies behind. `ON` costs a write for each page that is given up, which large bodies consist
//! of, and so is only on while something is erased. What the WAL has of it all goes when it is
//! emptied.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::errors::{commit_failed, failed};
use super::writer::begin;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::store::ErasedBodies;
use crate::tables::micros;

/// Erases an organization's data key, and leaves a row that says so.
pub(super) async fn data_key(
    connection: &mut SqliteConnection,
    shard: Shard,
    organization: &OrganizationId,
    now: Timestamp,
) -> Result<(), StoreError> {
    overwrite(connection, Overwritten::WhatIsDeleted).await?;
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
    .bind(number(shard))
    .bind(organization.as_str())
    .bind(micros(now))
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(commit_failed)?;
    overwrite(connection, Overwritten::WhatCostsNothing).await?;
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
    .bind(number(shard))
    .bind(organization.as_str())
    .fetch_one(readers)
    .await
    .map_err(failed)?;
    Ok(count.unsigned_abs())
}

/// Erases the bodies of a page of an organization's events, or of its attempts.
pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    shard: Shard,
    organization: &OrganizationId,
    after: Option<BodyId>,
    limit: usize,
) -> Result<ErasedBodies, StoreError> {
    overwrite(connection, Overwritten::WhatIsDeleted).await?;
    let mut transaction = begin(connection).await?;
    let after = after.unwrap_or(BodyId::Event(EventId::MIN));
    let page = PageOf::after(after);
    let (count, last): (i64, Option<String>) = sqlx::query_as(page.select())
        .bind(number(shard))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(sql_limit(limit))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let deleted = sqlx::query(page.delete())
        .bind(number(shard))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(&last)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(commit_failed)?;
    overwrite(connection, Overwritten::WhatCostsNothing).await?;

    let next = match last {
        Some(last) if count == sql_limit(limit) => {
            let unreadable = |_| StoreError::Unreadable(format!("body {last}"));
            Some(last.parse().map_err(unreadable)?)
        }
        // The page was the last one of its kind.
        _ => match page {
            PageOf::Events => Some(BodyId::Attempt(AttemptId::MIN)),
            PageOf::Attempts => None,
        },
    };
    if next.is_none() {
        empty_wal(connection).await?;
    }
    Ok(ErasedBodies {
        examined: usize::try_from(count).unwrap_or(0),
        deleted: deleted.rows_affected() as usize,
        next,
    })
}

/// What bodies are found by: their ids do not say whose they are.
#[derive(Clone, Copy)]
enum PageOf {
    Events,
    Attempts,
}

impl PageOf {
    fn after(id: BodyId) -> PageOf {
        match id {
            BodyId::Event(_) => PageOf::Events,
            BodyId::Attempt(_) => PageOf::Attempts,
        }
    }

    /// How many there are on the page, and the last one.
    fn select(self) -> &'static str {
        match self {
            PageOf::Events => {
                "SELECT COUNT(*), MAX(event_id)
                 FROM (
                     SELECT event_id FROM events
                     WHERE shard = ? AND organization_id = ? AND event_id > ?
                     ORDER BY event_id
                     LIMIT ?
                 )"
            }
            PageOf::Attempts => {
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

    /// Deletes the bodies of the page.
    fn delete(self) -> &'static str {
        match self {
            PageOf::Events => {
                "DELETE FROM bodies
                 WHERE shard = ?1 AND id IN (
                     SELECT event_id FROM events
                     WHERE shard = ?1 AND organization_id = ?2 AND event_id > ?3 AND event_id <= ?4
                 )"
            }
            PageOf::Attempts => {
                "DELETE FROM bodies
                 WHERE shard = ?1 AND id IN (
                     SELECT attempt_id FROM attempts
                     WHERE shard = ?1 AND organization_id = ?2
                       AND attempt_id > ?3 AND attempt_id <= ?4
                 )"
            }
        }
    }
}

/// What zeros are written over.
#[derive(Clone, Copy)]
enum Overwritten {
    WhatCostsNothing,
    WhatIsDeleted,
}

/// Sets it. If that fails, or what comes after it, the connection is given up.
async fn overwrite(connection: &mut SqliteConnection, what: Overwritten) -> Result<(), StoreError> {
    let pragma = match what {
        Overwritten::WhatCostsNothing => "PRAGMA secure_delete = FAST",
        Overwritten::WhatIsDeleted => "PRAGMA secure_delete = ON",
    };
    sqlx::raw_sql(pragma).execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Moves what the WAL has into the file, and empties it. As long as somebody reads a page of it,
/// that has to wait: for the next writes, or for the database to be closed.
async fn empty_wal(executor: impl SqliteExecutor<'_>) -> Result<(), StoreError> {
    let (is_busy,): (bool,) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(executor)
        .await
        .map_err(failed)?;
    if is_busy {
        tracing::info!("what was erased stays in the write-ahead log until readers let it go");
    }
    Ok(())
}

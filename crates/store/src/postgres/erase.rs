//! Erases the bodies of an organization. Deleted rows stay in the server's files until they are
//! vacuumed and overwritten.

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::{change, fetch};
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::sql::erased_page::{self, ErasedPage, OwnerTable};
use crate::sql::row_limit;
use crate::store::ErasedBodies;

const OF_EVENTS: &str = r#"
    WITH page AS MATERIALIZED (
        SELECT event_id AS id
        FROM events
        WHERE shard = $1 AND organization_id = $2 AND event_id > $3
        ORDER BY event_id
        LIMIT $4
    ),
    deleted AS (
        DELETE FROM bodies
        WHERE shard = $1 AND id = ANY (ARRAY(SELECT id FROM page))
        RETURNING id
    )
    SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM deleted),
           (SELECT max(id COLLATE "C") FROM page)"#;

const OF_ATTEMPTS: &str = r#"
    WITH page AS MATERIALIZED (
        SELECT attempt_id AS id
        FROM attempts
        WHERE shard = $1 AND organization_id = $2 AND attempt_id > $3
        ORDER BY attempt_id
        LIMIT $4
    ),
    deleted AS (
        DELETE FROM bodies
        WHERE shard = $1 AND id = ANY (ARRAY(SELECT id FROM page))
        RETURNING id
    )
    SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM deleted),
           (SELECT max(id COLLATE "C") FROM page)"#;

/// How many rows [`bodies`] goes through in all.
pub(super) async fn count(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
) -> Result<u64, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT (SELECT count(*) FROM events WHERE shard = $1 AND organization_id = $2)
              + (SELECT count(*) FROM attempts WHERE shard = $1 AND organization_id = $2)",
    )
    .bind(i32::from(shard.0))
    .bind(organization.as_str());
    let counts = fetch(readers, query).await?;
    Ok(counts.into_iter().map(|(count,)| count.unsigned_abs()).sum())
}

/// Erases the bodies of a page of an organization's events or attempts.
pub(super) async fn bodies(
    writers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    after: Option<BodyId>,
    limit: usize,
) -> Result<ErasedBodies, StoreError> {
    let after = after.unwrap_or(erased_page::FIRST);
    let table = OwnerTable::of(after);
    let sql = match table {
        OwnerTable::Events => OF_EVENTS,
        OwnerTable::Attempts => OF_ATTEMPTS,
    };
    let query = sqlx::query_as::<_, (i64, i64, Option<String>)>(sql)
        .bind(i32::from(shard.0))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(row_limit(limit));
    let (examined, deleted, last) = change(writers, query).await?.pop().unwrap_or_default();
    let page = ErasedPage { examined, deleted: deleted.unsigned_abs(), last };
    page.read(table, limit)
}

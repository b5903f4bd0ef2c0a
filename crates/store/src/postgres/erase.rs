//! Erasing an organization's bodies. Their ids do not say whose they are: they are found by the
//! events and the attempts that they belong to.
//!
//! What is deleted stays in the files of the server until it is vacuumed and written over.

use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::{change, fetch};
use crate::error::StoreError;
use crate::log::operation::BodyId;
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

/// Erases the bodies of a page of an organization's events, or of its attempts.
pub(super) async fn bodies(
    writers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    after: Option<BodyId>,
    limit: usize,
) -> Result<ErasedBodies, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = after.unwrap_or(BodyId::Event(EventId::MIN));
    let sql = match after {
        BodyId::Event(_) => OF_EVENTS,
        BodyId::Attempt(_) => OF_ATTEMPTS,
    };
    let query = sqlx::query_as::<_, (i64, i64, Option<String>)>(sql)
        .bind(i32::from(shard.0))
        .bind(organization.as_str())
        .bind(after.to_string())
        .bind(limit);
    let (count, deleted, last) = change(writers, query).await?.pop().unwrap_or_default();
    let next = match last {
        Some(last) if count == limit => {
            let unreadable = |_| StoreError::Unreadable(format!("body {last}"));
            Some(last.parse().map_err(unreadable)?)
        }
        // The page was the last one of its kind.
        _ => match after {
            BodyId::Event(_) => Some(BodyId::Attempt(AttemptId::MIN)),
            BodyId::Attempt(_) => None,
        },
    };
    Ok(ErasedBodies {
        examined: usize::try_from(count).unwrap_or(0),
        deleted: usize::try_from(deleted).unwrap_or(0),
        next,
    })
}

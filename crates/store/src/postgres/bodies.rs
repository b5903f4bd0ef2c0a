//! The bodies of events and of answers.

use std::collections::HashMap;

use bytes::Bytes;
use keeptrusts_webhooks_domain::log::Shard;

use super::pool::Pool;
use super::session::{change, fetch};
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::sql::row_limit;

pub(super) async fn read(
    readers: &Pool,
    shard: Shard,
    ids: &[BodyId],
) -> Result<HashMap<BodyId, Bytes>, StoreError> {
    let by_text: HashMap<_, _> = ids.iter().map(|id| (id.to_string(), *id)).collect();
    let query = sqlx::query_as::<_, (String, Vec<u8>)>(
        "SELECT id, content
         FROM bodies
         WHERE shard = $1 AND id = ANY ($2)
           AND expire_time > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    )
    .bind(i32::from(shard.0))
    .bind(by_text.keys().map(String::as_str).collect::<Vec<_>>());
    let found = fetch(readers, query).await?.into_iter();
    Ok(found.filter_map(|(id, content)| Some((*by_text.get(&id)?, content.into()))).collect())
}

/// Several processes may do this at once: each skips the rows that another one is deleting.
pub(super) async fn delete_expired(
    writers: &Pool,
    shard: Shard,
    limit: usize,
) -> Result<usize, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "WITH deleted AS (
             DELETE FROM bodies
             WHERE shard = $1 AND id = ANY (ARRAY(
                 SELECT id
                 FROM bodies
                 WHERE shard = $1
                   AND expire_time <=
                       (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
                 ORDER BY expire_time
                 LIMIT $2
                 FOR UPDATE SKIP LOCKED
             ))
             RETURNING id
         )
         SELECT count(*) FROM deleted",
    )
    .bind(i32::from(shard.0))
    .bind(row_limit(limit));
    let count = change(writers, query).await?.first().map_or(0, |(count,)| *count);
    Ok(usize::try_from(count).unwrap_or(0))
}

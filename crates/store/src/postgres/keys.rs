//! Keys and the audit trail.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};

use super::lists::List;
use super::pool::Pool;
use super::reads::rows as sql_rows;
use super::select::select;
use super::session::{change, fetch};
use super::write::column;
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::queries::rows::KeyUseRow;
use crate::queries::{AuditFilter, Found, KeyFilter};
use crate::tables::{Stored, micros, read_all};

const SHARD: i32 = Shard::OF_KEYS.0 as i32;

pub(super) async fn by_token(
    readers: &Pool,
    token: TokenDigest,
) -> Result<Option<Key>, StoreError> {
    let statement = select::<Key>("FROM keys WHERE shard = $1 AND token_sha256 = $2");
    let query = sqlx::query_as::<_, Stored<Key>>(statement).bind(SHARD).bind(token.0);
    fetch(readers, query).await?.pop().map(Stored::value).transpose()
}

pub(super) async fn list(
    readers: &Pool,
    organization: &OrganizationId,
    filter: KeyFilter,
    before: KeyId,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let mut query = List::of::<Key>(Shard::OF_KEYS, organization)
        .with("key_id <", before.to_string())
        .with_any("is_session =", filter.sessions)
        .newest_first("key_id", limit);
    read_all(fetch::<Stored<Key>>(readers, query.build_query_as()).await?)
}

pub(super) async fn made_by(
    readers: &Pool,
    maker: KeyId,
    before: KeyId,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let statement = select::<Key>(
        "FROM keys
         WHERE shard = $1 AND creator = $2 AND key_id < $3
         ORDER BY key_id DESC
         LIMIT $4",
    );
    let query = sqlx::query_as::<_, Stored<Key>>(statement)
        .bind(SHARD)
        .bind(maker.to_string())
        .bind(before.to_string())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    read_all(fetch(readers, query).await?)
}

pub(super) async fn exist(readers: &Pool) -> Result<bool, StoreError> {
    let query = sqlx::query_as::<_, (bool,)>(
        "SELECT EXISTS (SELECT FROM keys WHERE shard = $1 AND NOT is_session)",
    )
    .bind(SHARD);
    Ok(fetch(readers, query).await?.first().is_some_and(|(exist,)| *exist))
}

pub(super) async fn note_uses(
    writers: &Pool,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    let query = sqlx::query_as::<_, (i32,)>(
        "INSERT INTO key_uses (shard, key_id, last_use_time)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::bigint[]) AS new
         ON CONFLICT (shard, key_id) DO UPDATE SET
             last_use_time = greatest(key_uses.last_use_time, excluded.last_use_time)
         RETURNING shard",
    )
    .bind(SHARD)
    .bind(column(uses, |(id, _)| id.to_string()))
    .bind(column(uses, |(_, time)| micros(*time)));
    change(writers, query).await?;
    Ok(())
}

pub(super) async fn uses(
    readers: &Pool,
    ids: &[KeyId],
) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
    let query = sqlx::query_as::<_, KeyUseRow>(
        "SELECT key_id, last_use_time FROM key_uses WHERE shard = $1 AND key_id = ANY ($2)",
    )
    .bind(SHARD)
    .bind(column(ids, ToString::to_string));
    Ok(read_all(fetch(readers, query).await?)?.into_iter().collect())
}

pub(super) async fn audit_records(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &AuditFilter,
    before: Position,
    limit: usize,
) -> Result<Found<Record, Position>, StoreError> {
    let floor = match filter.looks_at(limit) {
        Some(looked_at) => {
            let last = List::columns("position", "records", shard, organization)
                .with("audit_action IS NOT NULL AND position <", before.0);
            let mut query = last.newest_first("position", 1);
            query.push(" OFFSET ").push_bind(sql_rows(looked_at.saturating_sub(1)));
            let found = fetch::<(i64,)>(readers, query.build_query_as()).await?;
            found.first().map(|(position,)| Position(*position))
        }
        None => None,
    };
    let mut list = List::of::<Record>(shard, organization)
        .with("audit_action IS NOT NULL AND position <", before.0)
        .with_any("position >=", floor.map(|floor| floor.0))
        .with_any("actor =", filter.actor.as_deref())
        .within("recorded_at >=", "recorded_at <", filter.recorded);
    if let Some(action) = filter.action {
        list.0.push(" AND audit_action = ANY (").push_bind(action.filed_under()).push(")");
    }
    if let Some(id) = filter.endpoint_id {
        // What comes after `delivery/`, or `replay/`; no other stream's rest looks like such an id.
        list.0.push(" AND (stream = ").push_bind(Stream::Endpoint(id).to_string());
        list.0.push(
            " OR EXISTS (
                 SELECT FROM deliveries
                 WHERE deliveries.shard = records.shard
                   AND deliveries.organization_id = records.organization_id
                   AND deliveries.delivery_id = substr(records.stream, 10)
                   AND deliveries.endpoint_id = ",
        );
        list.0.push_bind(id.to_string());
        list.0.push(
            ") OR EXISTS (
                 SELECT FROM replays
                 WHERE replays.shard = records.shard
                   AND replays.organization_id = records.organization_id
                   AND replays.replay_id = substr(records.stream, 8)
                   AND replays.endpoint_id = ",
        );
        list.0.push_bind(id.to_string()).push("))");
    }
    let mut query = list.newest_first("position", limit);
    let rows = read_all(fetch::<Stored<Record>>(readers, query.build_query_as()).await?)?;
    Ok(Found::of(rows, limit, floor, |record: &Record| record.position))
}

pub(super) async fn count_endpoints(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
) -> Result<u64, StoreError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(*)
         FROM endpoints
         WHERE shard = $1 AND organization_id = $2 AND delete_time IS NULL",
    )
    .bind(i32::from(shard.0))
    .bind(organization.as_str());
    Ok(fetch(readers, query).await?.first().map_or(0, |(count,)| count.unsigned_abs()))
}

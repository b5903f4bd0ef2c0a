//! Keys and the audit trail, read.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::{Key, TokenDigest};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::errors::{commit_failed, failed};
use super::lists::{and, and_within, fetch};
use super::set_statement::{SetStatement, Values};
use super::writer::begin;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::queries::rows::KeyUseRow;
use crate::queries::{AuditFilter, Found, KeyFilter};
use crate::tables::{Stored, micros, read_all};

pub(super) static USES: SetStatement = SetStatement::new(
    1,
    "SELECT key_id, last_use_time
     FROM key_uses
     WHERE key_id IN (VALUES {rows}) AND shard = ?",
);

static NOTE_USES: SetStatement = SetStatement::new(
    3,
    "INSERT INTO key_uses (shard, key_id, last_use_time)
     VALUES {rows}
     ON CONFLICT (shard, key_id) DO UPDATE SET
         last_use_time = max(last_use_time, excluded.last_use_time)",
);

pub(super) async fn by_token(
    readers: &SqlitePool,
    token: TokenDigest,
) -> Result<Option<Key>, StoreError> {
    let found: Option<Stored<Key>> =
        sqlx::query_as("SELECT * FROM keys WHERE shard = ? AND token_sha256 = ?")
            .bind(number(Shard::OF_KEYS))
            .bind(&token.0[..])
            .fetch_optional(readers)
            .await
            .map_err(failed)?;
    found.map(Stored::value).transpose()
}

pub(super) async fn list(
    readers: &SqlitePool,
    organization: &OrganizationId,
    filter: KeyFilter,
    before: KeyId,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM keys INDEXED BY keys_organization WHERE TRUE");
    and(&mut query, "shard =", Some(number(Shard::OF_KEYS)));
    and(&mut query, "organization_id =", Some(organization.as_str()));
    and(&mut query, "key_id <", Some(before.to_string()));
    and(&mut query, "is_session =", filter.sessions);
    query.push(" ORDER BY key_id DESC LIMIT ").push_bind(sql_limit(limit));
    fetch::<Stored<Key>>(readers, query).await
}

pub(super) async fn made_by(
    readers: &SqlitePool,
    maker: KeyId,
    before: KeyId,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM keys INDEXED BY keys_creator WHERE TRUE");
    and(&mut query, "shard =", Some(number(Shard::OF_KEYS)));
    and(&mut query, "creator =", Some(maker.to_string()));
    and(&mut query, "key_id <", Some(before.to_string()));
    query.push(" ORDER BY key_id DESC LIMIT ").push_bind(sql_limit(limit));
    fetch::<Stored<Key>>(readers, query).await
}

pub(super) async fn exist(readers: &SqlitePool) -> Result<bool, StoreError> {
    let (exist,): (bool,) =
        sqlx::query_as("SELECT EXISTS (SELECT 1 FROM keys WHERE shard = ? AND is_session = 0)")
            .bind(number(Shard::OF_KEYS))
            .fetch_one(readers)
            .await
            .map_err(failed)?;
    Ok(exist)
}

pub(super) async fn note_uses(
    connection: &mut SqliteConnection,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    let bind = |values: &mut Values, (id, time): &(KeyId, Timestamp)| {
        values.push(number(Shard::OF_KEYS));
        values.push(id.to_string());
        values.push(micros(*time));
    };
    let mut transaction = begin(connection).await?;
    NOTE_USES.execute(&mut transaction, uses.iter(), bind).await.map_err(failed)?;
    transaction.commit().await.map_err(commit_failed)
}

pub(super) async fn uses(
    readers: &SqlitePool,
    ids: &[KeyId],
) -> Result<HashMap<KeyId, Timestamp>, StoreError> {
    let mut connection = readers.acquire().await.map_err(failed)?;
    let bind = |values: &mut Values, id: &KeyId| values.push(id.to_string());
    let shard = [number(Shard::OF_KEYS)];
    let found = USES.fetch::<_, KeyUseRow>(&mut connection, ids.iter(), bind, &shard).await;
    Ok(read_all(found.map_err(failed)?)?.into_iter().collect())
}

pub(super) async fn audit_records(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &AuditFilter,
    before: Position,
    limit: usize,
) -> Result<Found<Record, Position>, StoreError> {
    let floor = match filter.looks_at(limit) {
        Some(rows) => {
            let mut query = select_last_audit_record(shard, organization, before, rows);
            let found = query.build_query_as::<(i64,)>().fetch_optional(readers).await;
            found.map_err(failed)?.map(|(position,)| Position(position))
        }
        None => None,
    };
    let query = select_audit_records(shard, organization, filter, (before, floor), limit);
    let rows = fetch::<Stored<Record>>(readers, query).await?;
    Ok(Found::of(rows, limit, floor, |record: &Record| record.position))
}

/// Where the next `rows` records of the trail end.
pub(super) fn select_last_audit_record(
    shard: Shard,
    organization: &OrganizationId,
    before: Position,
    rows: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT position FROM records INDEXED BY records_audit WHERE audit_action IS NOT NULL",
    );
    and(&mut query, "shard =", Some(number(shard)));
    and(&mut query, "organization_id =", Some(organization.as_str()));
    and(&mut query, "position <", Some(before.0));
    query.push(" ORDER BY position DESC LIMIT 1 OFFSET ");
    query.push_bind(sql_limit(rows.saturating_sub(1)));
    query
}

pub(super) fn select_audit_records(
    shard: Shard,
    organization: &OrganizationId,
    filter: &AuditFilter,
    (before, floor): (Position, Option<Position>),
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT position, stream, version, organization_id, data, metadata, recorded_at,
                operation_id
         FROM records INDEXED BY records_audit
         WHERE audit_action IS NOT NULL",
    );
    and(&mut query, "shard =", Some(number(shard)));
    and(&mut query, "organization_id =", Some(organization.as_str()));
    and(&mut query, "position <", Some(before.0));
    and(&mut query, "position >=", floor.map(|floor| floor.0));
    if let Some(action) = filter.action {
        query.push(" AND audit_action IN (");
        let mut files = query.separated(", ");
        for file in action.filed_under() {
            files.push_bind(file);
        }
        query.push(")");
    }
    and(&mut query, "actor =", filter.actor.as_deref());
    and_within(&mut query, "recorded_at", filter.recorded);
    if let Some(id) = filter.endpoint_id {
        // What comes after `delivery/`, or `replay/`; no other stream's rest looks like such an id.
        query.push(" AND (stream = ").push_bind(Stream::Endpoint(id).to_string());
        query.push(
            " OR EXISTS (
                 SELECT 1 FROM deliveries
                 WHERE deliveries.shard = records.shard
                   AND deliveries.organization_id = records.organization_id
                   AND deliveries.delivery_id = substr(records.stream, 10)
                   AND deliveries.endpoint_id = ",
        );
        query.push_bind(id.to_string());
        query.push(
            ") OR EXISTS (
                 SELECT 1 FROM replays
                 WHERE replays.shard = records.shard
                   AND replays.organization_id = records.organization_id
                   AND replays.replay_id = substr(records.stream, 8)
                   AND replays.endpoint_id = ",
        );
        query.push_bind(id.to_string()).push("))");
    }
    query.push(" ORDER BY position DESC LIMIT ").push_bind(sql_limit(limit));
    query
}

pub(super) async fn count_endpoints(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
) -> Result<u64, StoreError> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM endpoints
         WHERE shard = ? AND organization_id = ? AND delete_time IS NULL",
    )
    .bind(number(shard))
    .bind(organization.as_str())
    .fetch_one(readers)
    .await
    .map_err(failed)?;
    Ok(count.unsigned_abs())
}

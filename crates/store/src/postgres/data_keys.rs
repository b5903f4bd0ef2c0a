//! The data keys that the secrets are sealed with, and the master keys that wrap them.
//!
//! The single row of the table `database` orders a replacement of the master key and creations of
//! data keys: the replacement updates it, a creation holds a shared lock on it until it commits.
//!
//! Decision: docs/decisions/secrets-are-sealed-in-envelopes.md

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;

use super::arguments::column;
use super::pool::Pool;
use super::session::{change, fetch};
use super::store::PostgresStore;
use crate::error::StoreError;
use crate::sql::row_limit;
use crate::vault::{
    DataKeyCreation, DataKeyRow, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault,
    WrappedDataKey,
};

#[async_trait]
impl Vault for PostgresStore {
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError> {
        let query = sqlx::query_as::<_, (String,)>(
            "UPDATE database
             SET master_key_id = coalesce(master_key_id, $1)
             WHERE id = 1
             RETURNING master_key_id",
        )
        .bind(key_id);
        let current = change(&self.writers, query).await?.pop();
        current.map(|(key_id,)| key_id).ok_or_else(missing_row)
    }

    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError> {
        master_keys(&self.readers).await
    }

    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError> {
        let query = sqlx::query_as::<_, (String,)>(
            "WITH replaced AS (
                 UPDATE database
                 SET master_key_id = $2
                 WHERE id = 1 AND master_key_id = $1 AND $1 <> $2
                   AND NOT EXISTS (SELECT FROM replaced_master_keys WHERE master_key_id = $2)
                 RETURNING id
             )
             INSERT INTO replaced_master_keys (master_key_id, replace_time)
             SELECT $1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM replaced
             RETURNING master_key_id",
        )
        .bind(current)
        .bind(new);
        Ok(!change(&self.writers, query).await?.is_empty())
    }

    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
        data_keys(&self.readers, shard, organizations).await
    }

    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError> {
        create_data_key(&self.writers, shard, organization, key).await
    }

    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError> {
        let query = sqlx::query_as::<_, DataKeyRow>(
            "SELECT organization_id, data_key_id, master_key_id, nonce, wrapped
             FROM data_keys
             WHERE shard = $1 AND organization_id > $2
               AND master_key_id IS NOT NULL AND master_key_id IS DISTINCT FROM $3
             ORDER BY organization_id
             LIMIT $4",
        )
        .bind(i32::from(shard.0))
        // No organization has an empty id.
        .bind(after.map_or("", OrganizationId::as_str))
        .bind(except)
        .bind(row_limit(limit));
        let found = fetch(&self.readers, query).await?;
        found.into_iter().map(DataKeyRow::read_wrapped).collect()
    }

    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError> {
        rewrap_data_keys(&self.writers, shard, rewrapped).await
    }

    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64)>(
            "SELECT master_key_id, count(*)
             FROM data_keys
             WHERE shard = $1 AND master_key_id IS NOT NULL
             GROUP BY master_key_id",
        )
        .bind(i32::from(shard.0));
        let counts = fetch(&self.readers, query).await?;
        Ok(counts.into_iter().map(|(id, count)| (id, count.unsigned_abs())).collect())
    }

    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError> {
        let query = sqlx::query_as::<_, (i32,)>(
            "WITH clock AS MATERIALIZED (
                 SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
             )
             INSERT INTO data_keys (shard, organization_id, create_time, erase_time)
             SELECT $1, $2, now, now FROM clock
             ON CONFLICT (shard, organization_id) DO UPDATE SET
                 master_key_id = NULL,
                 nonce = NULL,
                 wrapped = NULL,
                 erase_time = coalesce(data_keys.erase_time, excluded.erase_time)
             RETURNING shard",
        )
        .bind(i32::from(shard.0))
        .bind(organization.as_str());
        change(&self.writers, query).await?;
        Ok(())
    }
}

/// One statement, so one snapshot.
async fn master_keys(pool: &Pool) -> Result<MasterKeyHistory, StoreError> {
    let query = sqlx::query_as::<_, (Option<String>, Option<String>)>(
        "SELECT database.master_key_id, replaced_master_keys.master_key_id
         FROM database LEFT JOIN replaced_master_keys ON true
         WHERE database.id = 1",
    );
    let rows = fetch(pool, query).await?;
    let (current, _) = rows.first().cloned().ok_or_else(missing_row)?;
    Ok(MasterKeyHistory {
        current,
        replaced: rows.into_iter().filter_map(|(_, replaced)| replaced).collect(),
    })
}

async fn data_keys(
    pool: &Pool,
    shard: Shard,
    organizations: &[OrganizationId],
) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
    let query = sqlx::query_as::<_, DataKeyRow>(
        "SELECT organization_id, data_key_id, master_key_id, nonce, wrapped
         FROM data_keys
         WHERE shard = $1 AND organization_id = ANY ($2)",
    )
    .bind(i32::from(shard.0))
    .bind(column(organizations, OrganizationId::as_str));
    fetch(pool, query).await?.into_iter().map(DataKeyRow::read).collect()
}

/// Takes two statements: if another process was faster, its row is only in the snapshot of the
/// second one.
async fn create_data_key(
    writers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    key: &WrappedDataKey,
) -> Result<DataKeyCreation, StoreError> {
    let query = sqlx::query_as::<_, (i32,)>(
        "WITH current AS MATERIALIZED (
             SELECT master_key_id FROM database WHERE id = 1 FOR SHARE
         )
         INSERT INTO data_keys
             (shard, organization_id, data_key_id, master_key_id, nonce, wrapped, create_time)
         SELECT $1, $2, $3, master_key_id, $5, $6,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
         FROM current
         WHERE master_key_id = $4
         ON CONFLICT DO NOTHING
         RETURNING shard",
    )
    .bind(i32::from(shard.0))
    .bind(organization.as_str())
    .bind(&key.data_key_id)
    .bind(&key.master_key_id)
    .bind(&key.nonce[..])
    .bind(&key.ciphertext);
    if !change(writers, query).await?.is_empty() {
        return Ok(DataKeyCreation::Has(StoredDataKey::Wrapped(key.clone())));
    }
    let mut found = data_keys(writers, shard, std::slice::from_ref(organization)).await?;
    match found.remove(organization) {
        Some(stored) => Ok(DataKeyCreation::Has(stored)),
        None => Ok(DataKeyCreation::NotCurrent(master_keys(writers).await?.current)),
    }
}

/// Locks the rows in the order of their keys first, so that two processes that do the same wait for
/// each other and do not deadlock.
async fn rewrap_data_keys(
    writers: &Pool,
    shard: Shard,
    rewrapped: &[RewrappedDataKey],
) -> Result<usize, StoreError> {
    if rewrapped.is_empty() {
        return Ok(0);
    }
    let query = sqlx::query_as::<_, (String,)>(
        "WITH locked AS MATERIALIZED (
             SELECT organization_id
             FROM data_keys
             WHERE shard = $1 AND organization_id = ANY ($2)
             ORDER BY organization_id
             FOR UPDATE
         )
         UPDATE data_keys
         SET master_key_id = rewrapped.master_key_id,
             nonce = rewrapped.nonce,
             wrapped = rewrapped.wrapped
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[])
                  AS rewrapped (organization_id, data_key_id, previous, master_key_id, nonce,
                                wrapped)
         JOIN locked USING (organization_id)
         WHERE data_keys.shard = $1
           AND data_keys.organization_id = rewrapped.organization_id
           AND data_keys.data_key_id = rewrapped.data_key_id
           AND data_keys.master_key_id = rewrapped.previous
         RETURNING data_keys.organization_id",
    )
    .bind(i32::from(shard.0))
    .bind(column(rewrapped, |row| row.organization_id.as_str()))
    .bind(column(rewrapped, |row| row.key.data_key_id.as_str()))
    .bind(column(rewrapped, |row| row.previous_master_key_id.as_str()))
    .bind(column(rewrapped, |row| row.key.master_key_id.as_str()))
    .bind(column(rewrapped, |row| &row.key.nonce[..]))
    .bind(column(rewrapped, |row| &row.key.ciphertext[..]));
    Ok(change(writers, query).await?.len())
}

fn missing_row() -> StoreError {
    StoreError::Unreadable("the database's own row is missing".to_owned())
}

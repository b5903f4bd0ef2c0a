//! The data keys that the secrets are sealed with, and the master keys that wrap them.
//!
//! Decision: docs/decisions/secrets-are-sealed-in-envelopes.md

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::erase;
use super::errors::{commit_error, store_error};
use super::set_statement::{SetStatement, Values};
use super::store::SqliteStore;
use super::writer::begin;
use crate::error::StoreError;
use crate::sql::row_limit;
use crate::tables::micros;
use crate::vault::{
    DataKeyCreation, DataKeyRow, MasterKeyHistory, RewrappedDataKey, StoredDataKey, Vault,
    WrappedDataKey,
};

pub(super) static DATA_KEYS: SetStatement = SetStatement::new(
    1,
    "WITH wanted (organization_id) AS (VALUES {rows})
     SELECT organization_id, data_key_id, master_key_id, nonce, wrapped
     FROM wanted CROSS JOIN data_keys USING (organization_id)
     WHERE data_keys.shard = ?",
);

pub(super) static REWRAP: SetStatement = SetStatement::new(
    6,
    "WITH rewrapped (organization_id, data_key_id, previous, master_key_id, nonce, wrapped)
         AS (VALUES {rows})
     UPDATE data_keys
     SET master_key_id = rewrapped.master_key_id,
         nonce = rewrapped.nonce,
         wrapped = rewrapped.wrapped
     FROM rewrapped
     WHERE data_keys.shard = ?
       AND data_keys.organization_id = rewrapped.organization_id
       AND data_keys.data_key_id = rewrapped.data_key_id
       AND data_keys.master_key_id = rewrapped.previous
     RETURNING 1",
);

#[async_trait]
impl Vault for SqliteStore {
    async fn claim_master_key(&self, key_id: &str) -> Result<String, StoreError> {
        let mut writer = self.writer.lock().await?;
        let current = claim_master_key(writer.connection()?, key_id).await;
        writer.finish(current)
    }

    async fn master_keys(&self) -> Result<MasterKeyHistory, StoreError> {
        master_keys(&self.readers).await
    }

    async fn replace_master_key(&self, current: &str, new: &str) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock().await?;
        let now = (self.clock)();
        let replaced = replace_master_key(writer.connection()?, current, new, now).await;
        writer.finish(replaced)
    }

    async fn data_keys(
        &self,
        shard: Shard,
        organizations: &[OrganizationId],
    ) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        data_keys(&mut connection, shard, organizations).await
    }

    async fn create_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        key: &WrappedDataKey,
    ) -> Result<DataKeyCreation, StoreError> {
        let mut writer = self.writer.lock().await?;
        let now = (self.clock)();
        let created = create_data_key(writer.connection()?, shard, organization, key, now).await;
        writer.finish(created)
    }

    async fn wrapped_data_keys(
        &self,
        shard: Shard,
        except: Option<&str>,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError> {
        wrapped_data_keys(&self.readers, shard, except, after, limit).await
    }

    async fn rewrap_data_keys(
        &self,
        shard: Shard,
        rewrapped: &[RewrappedDataKey],
    ) -> Result<usize, StoreError> {
        let mut writer = self.writer.lock().await?;
        let count = rewrap_data_keys(writer.connection()?, shard, rewrapped).await;
        writer.finish(count)
    }

    async fn count_data_keys(&self, shard: Shard) -> Result<BTreeMap<String, u64>, StoreError> {
        count_data_keys(&self.readers, shard).await
    }

    async fn erase_data_key(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await?;
        let now = (self.clock)();
        let erased = erase::data_key(writer.connection()?, shard, organization, now).await;
        writer.finish(erased)
    }
}

async fn claim_master_key(
    connection: &mut SqliteConnection,
    key_id: &str,
) -> Result<String, StoreError> {
    let mut transaction = begin(connection).await?;
    let (current,): (String,) = sqlx::query_as(
        "UPDATE database SET master_key_id = coalesce(master_key_id, ?)
         WHERE id = 1
         RETURNING master_key_id",
    )
    .bind(key_id)
    .fetch_one(&mut *transaction)
    .await
    .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(current)
}

/// One statement, so one snapshot.
async fn master_keys(executor: impl SqliteExecutor<'_>) -> Result<MasterKeyHistory, StoreError> {
    let rows: Vec<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT database.master_key_id, replaced_master_keys.master_key_id
         FROM database LEFT JOIN replaced_master_keys
         WHERE database.id = 1",
    )
    .fetch_all(executor)
    .await
    .map_err(store_error)?;
    Ok(MasterKeyHistory {
        current: rows.first().and_then(|(current, _)| current.clone()),
        replaced: rows.into_iter().filter_map(|(_, replaced)| replaced).collect(),
    })
}

async fn replace_master_key(
    connection: &mut SqliteConnection,
    current: &str,
    new: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut transaction = begin(connection).await?;
    let replaced = sqlx::query(
        "UPDATE database SET master_key_id = ?2
         WHERE id = 1 AND master_key_id = ?1 AND ?1 <> ?2
           AND NOT EXISTS (SELECT 1 FROM replaced_master_keys WHERE master_key_id = ?2)",
    )
    .bind(current)
    .bind(new)
    .execute(&mut *transaction)
    .await
    .map_err(store_error)?;
    if replaced.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO replaced_master_keys (master_key_id, replace_time) VALUES (?, ?)")
        .bind(current)
        .bind(micros(now))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(true)
}

async fn data_keys(
    connection: &mut SqliteConnection,
    shard: Shard,
    organizations: &[OrganizationId],
) -> Result<HashMap<OrganizationId, StoredDataKey>, StoreError> {
    let bind = |values: &mut Values, id: &OrganizationId| values.push(id.to_string());
    let found: Vec<DataKeyRow> = DATA_KEYS
        .fetch(connection, organizations.iter(), bind, &[i64::from(shard.0)])
        .await
        .map_err(store_error)?;
    found.into_iter().map(DataKeyRow::read).collect()
}

async fn create_data_key(
    connection: &mut SqliteConnection,
    shard: Shard,
    organization: &OrganizationId,
    key: &WrappedDataKey,
    now: Timestamp,
) -> Result<DataKeyCreation, StoreError> {
    let mut transaction = begin(connection).await?;
    let created = sqlx::query(
        "INSERT INTO data_keys
             (shard, organization_id, data_key_id, master_key_id, nonce, wrapped, create_time)
         SELECT ?, ?, ?, master_key_id, ?, ?, ?
         FROM database
         WHERE id = 1 AND master_key_id = ?
         ON CONFLICT DO NOTHING",
    )
    .bind(i64::from(shard.0))
    .bind(organization.as_str())
    .bind(&key.data_key_id)
    .bind(&key.nonce[..])
    .bind(&key.ciphertext)
    .bind(micros(now))
    .bind(&key.master_key_id)
    .execute(&mut *transaction)
    .await
    .map_err(store_error)?;
    if created.rows_affected() == 1 {
        transaction.commit().await.map_err(commit_error)?;
        return Ok(DataKeyCreation::Has(StoredDataKey::Wrapped(key.clone())));
    }
    let mut found = data_keys(&mut transaction, shard, std::slice::from_ref(organization)).await?;
    match found.remove(organization) {
        Some(stored) => Ok(DataKeyCreation::Has(stored)),
        None => Ok(DataKeyCreation::NotCurrent(master_keys(&mut *transaction).await?.current)),
    }
}

async fn wrapped_data_keys(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
    except: Option<&str>,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<(OrganizationId, WrappedDataKey)>, StoreError> {
    let found: Vec<DataKeyRow> = sqlx::query_as(
        "SELECT organization_id, data_key_id, master_key_id, nonce, wrapped
         FROM data_keys
         WHERE shard = ? AND organization_id > ?
           AND master_key_id IS NOT NULL AND master_key_id IS NOT ?
         ORDER BY organization_id
         LIMIT ?",
    )
    .bind(i64::from(shard.0))
    // No organization has an empty id.
    .bind(after.map_or("", OrganizationId::as_str))
    .bind(except)
    .bind(row_limit(limit))
    .fetch_all(executor)
    .await
    .map_err(store_error)?;
    found.into_iter().map(DataKeyRow::read_wrapped).collect()
}

async fn rewrap_data_keys(
    connection: &mut SqliteConnection,
    shard: Shard,
    rewrapped: &[RewrappedDataKey],
) -> Result<usize, StoreError> {
    let mut transaction = begin(connection).await?;
    let bind = |values: &mut Values, rewrapped: &RewrappedDataKey| {
        values.push(rewrapped.organization_id.to_string());
        values.push(rewrapped.key.data_key_id.clone());
        values.push(rewrapped.previous_master_key_id.clone());
        values.push(rewrapped.key.master_key_id.clone());
        values.push(rewrapped.key.nonce.to_vec());
        values.push(rewrapped.key.ciphertext.clone());
    };
    let changed: Vec<(i64,)> = REWRAP
        .fetch(&mut transaction, rewrapped.iter(), bind, &[i64::from(shard.0)])
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(changed.len())
}

async fn count_data_keys(
    executor: impl SqliteExecutor<'_>,
    shard: Shard,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT master_key_id, COUNT(*)
         FROM data_keys
         WHERE shard = ? AND master_key_id IS NOT NULL
         GROUP BY master_key_id",
    )
    .bind(i64::from(shard.0))
    .fetch_all(executor)
    .await
    .map_err(store_error)?;
    Ok(counts.into_iter().map(|(id, count)| (id, count.unsigned_abs())).collect())
}

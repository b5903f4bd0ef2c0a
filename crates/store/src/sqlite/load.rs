//! Rows looked up by their keys: what a transaction must know before it can decide, and what is read
//! by itself.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use keeptrusts_webhooks_domain::event::{Event, IdempotencyKey};
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::error::StoreError;
use crate::log::plan::KeyOwner;
use crate::tables::{self, Entity, OncePerTable, Stored, TableKey, read_all};

/// The idempotency keys that are used of these: by which event, with what content.
pub(super) async fn idempotency_keys(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &[KeyOwner],
) -> Result<HashMap<KeyOwner, (EventId, [u8; 32])>, StoreError> {
    let bind = |values: &mut Values, (owner, key): &(OrganizationId, IdempotencyKey)| {
        values.push(owner.as_str());
        values.push(key.as_str());
    };
    let found = lookup_by_idempotency_key()
        .fetch::<_, Stored<Event>>(connection, keys.iter(), bind, &[number(shard)])
        .await
        .map_err(failed)?;
    Ok(tables::used_keys(read_all(found)?))
}

/// The rows that exist of those with these keys.
pub(super) async fn by_key<Row: Entity, RowKey: TableKey>(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &[RowKey],
) -> Result<Vec<Row>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let bind = |values: &mut Values, key: &RowKey| {
        key.cells().into_iter().for_each(|cell| values.push_cell(cell));
    };
    let found = lookup_by_key::<Row>()
        .fetch::<_, Stored<Row>>(connection, keys.iter(), bind, &[number(shard)])
        .await
        .map_err(failed)?;
    read_all(found)
}

/// The same, read by themselves.
pub(super) async fn rows<Row: Entity, RowKey: TableKey>(
    readers: &SqlitePool,
    shard: Shard,
    keys: &[RowKey],
) -> Result<Vec<Row>, StoreError> {
    let mut connection = readers.acquire().await.map_err(failed)?;
    by_key(&mut connection, shard, keys).await
}

/// The row with this key, if it exists, read by itself.
pub(super) async fn row<Row: Entity, RowKey: TableKey>(
    readers: &SqlitePool,
    shard: Shard,
    key: RowKey,
) -> Result<Option<Row>, StoreError> {
    Ok(rows(readers, shard, &[key]).await?.pop())
}

/// The statement that looks rows up by their keys. Its last parameter is the shard.
pub(super) fn lookup_by_key<Row: Entity>() -> Arc<SetStatement> {
    static LOOKUPS: OncePerTable<Arc<SetStatement>> = OncePerTable::new();
    LOOKUPS.get(Row::TABLE.name, || {
        Arc::new(lookup::<Row>(&Row::TABLE.key_columns(), Row::TABLE.key().count()))
    })
}

/// The statement that looks events up by their idempotency keys. Its last parameter is the shard.
pub(super) fn lookup_by_idempotency_key() -> &'static SetStatement {
    static LOOKUP: LazyLock<SetStatement> =
        LazyLock::new(|| lookup::<Event>("organization_id, idempotency_key", 2));
    &LOOKUP
}

/// The statement that looks rows up by so many columns. CROSS JOIN tells SQLite to begin with the
/// wanted values and look each of them up.
fn lookup<Row: Entity>(columns: &str, count: usize) -> SetStatement {
    let table = Row::TABLE.name;
    let sql = format!(
        "WITH wanted ({columns}) AS (VALUES {{rows}})
         SELECT {table}.* FROM wanted CROSS JOIN {table} USING ({columns})
         WHERE {table}.shard = ?"
    );
    SetStatement::of(count, sql.into())
}

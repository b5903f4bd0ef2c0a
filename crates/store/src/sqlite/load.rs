//! What a transaction reads before it can decide: rows by their keys.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::{Event, IdempotencyKey};
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::replay::Replay;
use sqlx::{SqliteConnection, SqlitePool};

use super::errors::failed;
use super::number;
use super::set_statement::{SetStatement, Values};
use crate::plan::KeyOwner;
use crate::projection::{Loaded, Touched};
use crate::store::StoreError;
use crate::tables::{Entity, Stored, TableKey, read_all};

/// The rows that exist of those that records change.
pub(super) async fn touched(
    connection: &mut SqliteConnection,
    shard: Shard,
    touched: &Touched,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let found: Vec<Endpoint> = by_key(connection, shard, &touched.endpoints).await?;
    loaded.endpoints = found.into_iter().map(|row| (row.id, row)).collect();
    let found: Vec<Delivery> = by_key(connection, shard, &touched.deliveries).await?;
    loaded.deliveries = found.into_iter().map(|row| (row.id, row)).collect();
    let found: Vec<Key> = by_key(connection, shard, &touched.keys).await?;
    loaded.keys = found.into_iter().map(|row| (row.id, row)).collect();
    let found: Vec<Replay> = by_key(connection, shard, &touched.replays).await?;
    loaded.replays = found.into_iter().map(|row| (row.id, row)).collect();
    let found: Vec<Channel> = by_key(connection, shard, &touched.channels).await?;
    loaded.channels = found.into_iter().map(|row| (row.id, row)).collect();
    let found: Vec<Notification> = by_key(connection, shard, &touched.notifications).await?;
    loaded.notifications = found.into_iter().map(|row| (row.id, row)).collect();
    Ok(loaded)
}

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
    let used = read_all(found)?.into_iter().filter_map(|event| {
        let idempotency = event.idempotency?;
        let owner = (event.organization_id, idempotency.key);
        Some((owner, (event.id, idempotency.request_sha256)))
    });
    Ok(used.collect())
}

/// The rows that exist of those with these keys.
async fn by_key<Row: Entity, RowKey: TableKey>(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &[RowKey],
) -> Result<Vec<Row>, StoreError> {
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
pub(super) fn lookup_by_key<Row: Entity>() -> SetStatement {
    lookup::<Row>(&Row::TABLE.key_columns(), Row::TABLE.key().count())
}

/// The statement that looks events up by their idempotency keys. Its last parameter is the shard.
pub(super) fn lookup_by_idempotency_key() -> SetStatement {
    lookup::<Event>("organization_id, idempotency_key", 2)
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

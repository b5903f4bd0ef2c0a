//! Rows looked up by their keys: what a transaction must know before it can decide, and what is read
//! by itself.
//!
//! LIMIT keeps the planner from turning the lookups around: to read all of a shard and see what
//! of it was wanted looks good to it while a table is new.

use std::collections::HashMap;
use std::sync::Arc;

use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};

use super::errors::store_error;
use super::pool::Pool;
use super::session;
use super::write::{key_arguments, of_shard, unnest};
use crate::error::StoreError;
use crate::log::plan::KeyOwner;
use crate::tables::{self, Entity, OncePerTable, Stored, TableKey, listed, read_all};

/// Which of these idempotency keys are used: by which event, with what content.
pub(super) async fn used_keys(
    connection: &mut PgConnection,
    shard: Shard,
    keys: &[KeyOwner],
) -> Result<HashMap<KeyOwner, (EventId, [u8; 32])>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut arguments = of_shard(shard).map_err(store_error)?;
    let (owners, names): (Vec<_>, Vec<_>) =
        keys.iter().map(|(owner, key)| (owner.as_str(), key.as_str())).unzip();
    let added = arguments.add(owners).and_then(|()| arguments.add(names));
    added.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
    let looked_up =
        lookup::<Event>("unnest($2::text[], $3::text[])", &["organization_id", "idempotency_key"]);
    let events: Vec<Event> = fetch(connection, looked_up.into(), arguments).await?;
    Ok(tables::used_keys(events))
}

/// The rows that exist of those with these keys.
pub(super) async fn by_key<Row: Entity, RowKey: TableKey>(
    connection: &mut PgConnection,
    shard: Shard,
    keys: &[RowKey],
) -> Result<Vec<Row>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = key_arguments::<Row, _>(shard, keys).map_err(store_error)?;
    fetch(connection, lookup_by_key::<Row>(), arguments).await
}

/// A row of the shard for each of the wanted values of these columns, as far as there is one.
fn lookup<Row: Entity>(wanted: &str, columns: &[&str]) -> String {
    let (table, read) = (Row::TABLE.name, Row::TABLE.read_columns());
    let names = listed((0..columns.len()).map(|index| format!("value_{index}")));
    let equal = columns.iter().enumerate();
    let equal = equal.map(|(index, column)| format!(" AND {column} = wanted.value_{index}"));
    let equal: String = equal.collect();
    format!(
        "SELECT {read}
         FROM {wanted} AS wanted ({names})
         CROSS JOIN LATERAL (SELECT * FROM {table} WHERE shard = $1{equal} LIMIT 1) AS found"
    )
}

/// The rows that exist of those with these keys, read by themselves.
pub(super) async fn rows<Row: Entity, RowKey: TableKey>(
    readers: &Pool,
    shard: Shard,
    keys: &[RowKey],
) -> Result<Vec<Row>, StoreError> {
    let arguments = key_arguments::<Row, _>(shard, keys).map_err(store_error)?;
    let query = sqlx::query_as_with(AssertSqlSafe(lookup_by_key::<Row>()), arguments);
    read_all(session::fetch::<Stored<Row>>(readers, query).await?)
}

/// The row with this key, if it exists, read by itself.
pub(super) async fn row<Row: Entity, RowKey: TableKey>(
    readers: &Pool,
    shard: Shard,
    key: RowKey,
) -> Result<Option<Row>, StoreError> {
    Ok(rows(readers, shard, &[key]).await?.pop())
}

fn lookup_by_key<Row: Entity>() -> Arc<str> {
    static LOOKUPS: OncePerTable<Arc<str>> = OncePerTable::new();
    LOOKUPS.get(Row::TABLE.name, || {
        let columns: Vec<_> = Row::TABLE.key().map(|column| column.name).collect();
        lookup::<Row>(&unnest(Row::TABLE.key()), &columns).into()
    })
}

async fn fetch<Row: Entity>(
    connection: &mut PgConnection,
    sql: Arc<str>,
    arguments: PgArguments,
) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as_with::<_, Stored<Row>, _>(AssertSqlSafe(sql), arguments)
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    read_all(rows)
}

//! Lookups of rows by their keys.
//!
//! LIMIT keeps the planner from reversing a lookup. While a table is new, it would rather read all
//! of a shard and join it with the wanted keys.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use sqlx::{Arguments, AssertSqlSafe, PgConnection};

use super::arguments::{key_arguments, shard_argument, unnest};
use super::errors::store_error;
use crate::error::StoreError;
use crate::log::plan::{KeyOwner, keys_used_by};
use crate::tables::{Keys, PerTableCache, Rows, TableShape, listed};

/// Which of these idempotency keys are used, by which events, and the hashes of their requests.
pub(super) async fn idempotency_keys(
    connection: &mut PgConnection,
    shard: Shard,
    keys: &[KeyOwner],
) -> Result<HashMap<KeyOwner, (EventId, [u8; 32])>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut arguments = shard_argument(shard).map_err(store_error)?;
    let (owners, names): (Vec<_>, Vec<_>) =
        keys.iter().map(|(owner, key)| (owner.as_str(), key.as_str())).unzip();
    let added = arguments.add(owners).and_then(|()| arguments.add(names));
    added.map_err(|error| store_error(sqlx::Error::Encode(error)))?;
    let query = sqlx::query_with(AssertSqlSafe(LOOKUP_BY_IDEMPOTENCY_KEY.as_str()), arguments);
    let rows = query.fetch_all(connection).await.map_err(store_error)?;
    Ok(keys_used_by(Rows::stored(rows).read()?))
}

/// The statement that looks events up by their idempotency keys.
static LOOKUP_BY_IDEMPOTENCY_KEY: LazyLock<String> = LazyLock::new(|| {
    let columns = ["organization_id", "idempotency_key"];
    lookup(&TableShape::of::<Event>(), "unnest($2::text[], $3::text[])", &columns)
});

/// Which of these streams exist, of whichever organization.
pub(super) async fn existing_streams(
    connection: &mut PgConnection,
    shard: Shard,
    streams: &[Stream],
) -> Result<HashSet<Stream>, StoreError> {
    if streams.is_empty() {
        return Ok(HashSet::new());
    }
    let names: Vec<_> = streams.iter().map(Stream::to_string).collect();
    let found: Vec<(String,)> = sqlx::query_as(EXISTING_STREAMS)
        .bind(i32::from(shard.0))
        .bind(names)
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    let found: HashSet<_> = found.into_iter().map(|(name,)| name).collect();
    Ok(streams.iter().copied().filter(|stream| found.contains(&stream.to_string())).collect())
}

/// The statement that looks streams up by their first records.
pub(super) const EXISTING_STREAMS: &str = "SELECT wanted.stream
     FROM unnest($2::text[]) AS wanted (stream)
     CROSS JOIN LATERAL (
         SELECT 1 FROM records WHERE shard = $1 AND stream = wanted.stream AND version = 1 LIMIT 1
     ) AS found";

/// The rows that exist of those with these keys.
pub(super) async fn by_key(
    connection: &mut PgConnection,
    shard: Shard,
    keys: &Keys<'_>,
) -> Result<Rows, StoreError> {
    let arguments = key_arguments(shard, keys).map_err(store_error)?;
    let query = sqlx::query_with(AssertSqlSafe(lookup_by_key(&keys.table)), arguments);
    Ok(Rows::stored(query.fetch_all(connection).await.map_err(store_error)?))
}

/// The statement that looks rows of a shard up by the wanted values of these columns.
fn lookup(table: &TableShape, wanted: &str, columns: &[&str]) -> String {
    let (name, read_columns) = (table.name, (table.read_columns)());
    let names = listed((0..columns.len()).map(|index| format!("value_{index}")));
    let equal = columns.iter().enumerate();
    let equal = equal.map(|(index, column)| format!(" AND {column} = wanted.value_{index}"));
    let equal: String = equal.collect();
    format!(
        "SELECT {read_columns}
         FROM {wanted} AS wanted ({names})
         CROSS JOIN LATERAL (SELECT * FROM {name} WHERE shard = $1{equal} LIMIT 1) AS found"
    )
}

/// The statement that looks rows up by their keys.
pub(super) fn lookup_by_key(table: &TableShape) -> Arc<str> {
    static LOOKUPS: PerTableCache<Arc<str>> = PerTableCache::new();
    LOOKUPS.get(table.name, || {
        let columns: Vec<_> = table.key.iter().map(|(name, _)| *name).collect();
        lookup(table, &unnest(2, table.key.iter().map(|(_, kind)| *kind)), &columns).into()
    })
}

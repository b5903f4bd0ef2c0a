//! Rows looked up by their keys, in a transaction and by themselves.
//!
//! LIMIT keeps the planner from turning the lookups around: to read all of a shard and see what
//! of it was wanted looks good to it while a table is new.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};

use super::errors::store_error;
use super::write::{key_arguments, of_shard, unnest};
use crate::error::StoreError;
use crate::log::plan::{KeyOwner, keys_used_by};
use crate::tables::{Keys, PerTableCache, Rows, TableShape, listed};

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
    let query = sqlx::query_with(AssertSqlSafe(LOOKUP_BY_IDEMPOTENCY_KEY.as_str()), arguments);
    let rows = query.fetch_all(connection).await.map_err(store_error)?;
    Ok(keys_used_by(Rows::stored(rows).read()?))
}

/// The statement that looks events up by their idempotency keys.
static LOOKUP_BY_IDEMPOTENCY_KEY: LazyLock<String> = LazyLock::new(|| {
    let columns = ["organization_id", "idempotency_key"];
    lookup(&TableShape::of::<Event>(), "unnest($2::text[], $3::text[])", &columns)
});

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

/// A row of the shard for each of the wanted values of these columns, as far as there is one.
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
        lookup(table, &unnest(table.key.iter().map(|(_, kind)| *kind)), &columns).into()
    })
}

//! Lookups of rows by their keys.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use keeptrusts_webhooks_domain::event::{Event, IdempotencyKey};
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Shard, Stream};
use sqlx::SqliteConnection;

use super::errors::store_error;
use super::set_statement::{SetStatement, Values};
use crate::error::StoreError;
use crate::log::plan::{KeyOwner, keys_used_by};
use crate::tables::{Cell, Keys, PerTableCache, Rows, Stored, TableShape, listed, read_all};

/// Which of these idempotency keys are used, by which events, and the hashes of their requests.
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
        .fetch::<_, Stored<Event>>(connection, keys.iter(), bind, &[i64::from(shard.0)])
        .await
        .map_err(store_error)?;
    Ok(keys_used_by(read_all(found)?))
}

/// Which of these streams exist, of whichever organization.
pub(super) async fn existing_streams(
    connection: &mut SqliteConnection,
    shard: Shard,
    streams: &[Stream],
) -> Result<HashSet<Stream>, StoreError> {
    let bind = |values: &mut Values, stream: &Stream| values.push(stream.to_string());
    let found: Vec<(String,)> = lookup_by_stream()
        .fetch(connection, streams.iter(), bind, &[i64::from(shard.0)])
        .await
        .map_err(store_error)?;
    let found: HashSet<_> = found.into_iter().map(|(name,)| name).collect();
    Ok(streams.iter().copied().filter(|stream| found.contains(&stream.to_string())).collect())
}

/// The rows that exist of those with these keys.
pub(super) async fn by_key(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &Keys<'_>,
) -> Result<Rows, StoreError> {
    let bind = |values: &mut Values, key: &Vec<Cell<'_>>| {
        key.iter().for_each(|cell| values.push_cell(cell.clone()));
    };
    let rows = lookup_by_key(&keys.table)
        .fetch_rows(connection, keys.values.iter(), bind, &[i64::from(shard.0)])
        .await;
    Ok(Rows::stored(rows.map_err(store_error)?))
}

/// The statement that looks rows up by their keys. Its last parameter is the shard.
pub(super) fn lookup_by_key(table: &TableShape) -> Arc<SetStatement> {
    static LOOKUPS: PerTableCache<Arc<SetStatement>> = PerTableCache::new();
    LOOKUPS.get(table.name, || {
        let columns = listed(table.key.iter().map(|(name, _)| name));
        Arc::new(lookup(table, &columns, table.key.len()))
    })
}

/// The statement that looks events up by their idempotency keys. Its last parameter is the shard.
pub(super) fn lookup_by_idempotency_key() -> &'static SetStatement {
    static LOOKUP: LazyLock<SetStatement> =
        LazyLock::new(|| lookup(&TableShape::of::<Event>(), "organization_id, idempotency_key", 2));
    &LOOKUP
}

/// The statement that looks streams up by their first records. Its last parameter is the shard.
pub(super) fn lookup_by_stream() -> &'static SetStatement {
    static LOOKUP: LazyLock<SetStatement> = LazyLock::new(|| {
        let sql = "WITH wanted (stream) AS (VALUES {rows})
         SELECT stream FROM wanted CROSS JOIN records USING (stream)
         WHERE records.version = 1 AND records.shard = ?";
        SetStatement::of(1, sql.into())
    });
    &LOOKUP
}

/// The statement that looks rows up by these columns. CROSS JOIN makes SQLite begin with the wanted
/// values and look each of them up.
fn lookup(table: &TableShape, columns: &str, count: usize) -> SetStatement {
    let name = table.name;
    let sql = format!(
        "WITH wanted ({columns}) AS (VALUES {{rows}})
         SELECT {name}.* FROM wanted CROSS JOIN {name} USING ({columns})
         WHERE {name}.shard = ?"
    );
    SetStatement::of(count, sql.into())
}

//! Notes when keys were last used.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::log::Shard;

use super::arguments::column;
use super::pool::Pool;
use super::session::change;
use crate::error::StoreError;
use crate::tables::micros;

const SHARD: i32 = Shard::OF_KEYS.0 as i32;

pub(super) async fn note(writers: &Pool, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
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

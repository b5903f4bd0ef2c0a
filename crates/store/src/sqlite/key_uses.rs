//! Notes when keys were last used.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::KeyId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::SqliteConnection;

use super::errors::{commit_error, store_error};
use super::set_statement::{SetStatement, Values};
use super::writer::begin;
use crate::error::StoreError;
use crate::tables::micros;

static NOTE: SetStatement = SetStatement::new(
    3,
    "INSERT INTO key_uses (shard, key_id, last_use_time)
     VALUES {rows}
     ON CONFLICT (shard, key_id) DO UPDATE SET
         last_use_time = max(last_use_time, excluded.last_use_time)",
);

pub(super) async fn note(
    connection: &mut SqliteConnection,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), StoreError> {
    let bind = |values: &mut Values, (id, time): &(KeyId, Timestamp)| {
        values.push(i64::from(Shard::OF_KEYS.0));
        values.push(id.to_string());
        values.push(micros(*time));
    };
    let mut transaction = begin(connection).await?;
    NOTE.execute(&mut transaction, uses.iter(), bind).await.map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}

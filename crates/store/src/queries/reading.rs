//! Reading entities by a selection or by their keys: the base of every query.

use keeptrusts_webhooks_domain::log::Shard;

use super::selection::Selection;
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::{Entity, Keys, TableKey};

impl dyn Store + '_ {
    /// The rows of a selection.
    pub(crate) async fn selected<Row: Entity>(
        &self,
        shard: Shard,
        selection: Selection<Row>,
    ) -> Result<Vec<Row>, StoreError> {
        self.select(shard, selection.erased()).await?.read()
    }

    /// The rows with these keys, as far as they exist, in no order.
    pub(crate) async fn rows<Row: Entity, RowKey: TableKey>(
        &self,
        shard: Shard,
        keys: &[RowKey],
    ) -> Result<Vec<Row>, StoreError> {
        self.look_up(shard, &Keys::of::<Row>(keys)).await?.read()
    }

    /// The row with this key, if it exists.
    pub(crate) async fn row<Row: Entity, RowKey: TableKey>(
        &self,
        shard: Shard,
        key: RowKey,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(shard, &[key]).await?.pop())
    }
}

//! `key_uses`: when keys were last used. Not a projection: a rebuild leaves it alone.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::KeyId;

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;

type Column = super::Column<KeyUse>;

/// When a key was last used.
#[derive(Clone)]
pub(crate) struct KeyUse {
    pub(crate) key_id: KeyId,
    pub(crate) last_use_time: Timestamp,
}

impl Entity for KeyUse {
    const TABLE: Table<KeyUse> = Table {
        name: "key_uses",
        columns: &[
            Column::text("key_id", |row| Cell::shown(row.key_id)).key(),
            Column::integer("last_use_time", |row| row.last_use_time.into()).maximum(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<KeyUse, StoreError> {
        Ok(KeyUse { key_id: row.parsed("key_id")?, last_use_time: row.time("last_use_time")? })
    }
}

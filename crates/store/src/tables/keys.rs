//! `keys`: API keys and sessions, all on one shard.

use keeptrusts_webhooks_domain::key::Key;

use super::{Cell, Entity, StoredRow, Table, document};
use crate::error::StoreError;

type Column = super::Column<Key>;

impl Entity for Key {
    const TABLE: Table<Key> = Table {
        name: "keys",
        columns: &[
            Column::text("key_id", |row| Cell::shown(row.id)).key(),
            Column::text("organization_id", |row| Cell::shown(&row.organizations)).kept(),
            Column::bytes("token_sha256", |row| (&row.token.0).into()).kept(),
            Column::boolean("is_session", |row| row.session.is_some().into()).kept(),
            Column::text("creator", |row| row.creator.as_str().into()).kept(),
            Column::document_version(),
            Column::document(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Key, StoreError> {
        document::read(row)
    }
}

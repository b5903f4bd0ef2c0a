//! `channels`: every notification channel, deleted ones too.

use keeptrusts_webhooks_domain::channel::Channel;

use super::{Cell, Entity, StoredRow, Table, document};
use crate::error::StoreError;

type Column = super::Column<Channel>;

impl Entity for Channel {
    const TABLE: Table<Channel> = Table {
        name: "channels",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("channel_id", |row| Cell::shown(row.id)).key(),
            Column::integer("delete_time", |row| row.delete_time.into()),
            Column::document_version(),
            Column::document(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Channel, StoreError> {
        document::read(row)
    }
}

//! `channels`: every notification channel, deleted ones too.

use keeptrusts_webhooks_domain::channel::{Channel, Destination, NewChannel};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_domain::secret::SealedSecret;

use super::{Cell, Entity, StoredRow, Table, word};
use crate::error::StoreError;

type Column = super::Column<Channel>;

fn secret(channel: &Channel) -> Option<&SealedSecret> {
    channel.config.destination.secret.as_ref()
}

impl Entity for Channel {
    const TABLE: Table<Channel> = Table {
        name: "channels",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("channel_id", |row| Cell::shown(row.id)).key(),
            Column::text("name", |row| row.config.name.as_str().into()),
            Column::text("kind", |row| row.config.destination.kind.name().into()).kept(),
            Column::text("address", |row| row.config.destination.address.as_str().into()),
            Column::text("secret_key_id", |row| {
                secret(row).map(|secret| secret.key_id.as_str()).into()
            }),
            Column::bytes("secret_nonce", |row| secret(row).map(|secret| &secret.nonce).into()),
            Column::bytes("secret_ciphertext", |row| {
                secret(row).map(|secret| &secret.ciphertext).into()
            }),
            Column::text("subscriptions", |row| {
                Cell::shown_all(row.config.subscriptions.iter().map(|kind| kind.name()))
            }),
            Column::text("endpoint_ids", |row| Cell::shown_all(&row.config.endpoint_ids)),
            Column::text("status", |row| row.status.name().into()),
            Column::text("status_reason", |row| row.status_reason.as_str().into()),
            Column::integer("status_time", |row| row.status_time.into()),
            Column::integer("config_version", |row| row.config_version.into()),
            Column::integer("version", |row| row.version.into()),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            Column::integer("update_time", |row| row.update_time.into()),
            Column::integer("delete_time", |row| row.delete_time.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Channel, StoreError> {
        let subscriptions = row.text("subscriptions")?;
        let subscriptions = subscriptions.split(',').map(word::<NotificationType>);
        Ok(Channel {
            id: row.parsed("channel_id")?,
            organization_id: row.parsed("organization_id")?,
            config: NewChannel {
                name: row.text("name")?,
                destination: Destination {
                    kind: row.word("kind")?,
                    address: row.text("address")?,
                    secret: row.optional_secret([
                        "secret_key_id",
                        "secret_nonce",
                        "secret_ciphertext",
                    ])?,
                },
                subscriptions: subscriptions.collect::<Result<_, _>>()?,
                endpoint_ids: row.list("endpoint_ids")?,
            },
            status: row.word("status")?,
            status_reason: row.text("status_reason")?,
            status_time: row.time("status_time")?,
            config_version: row.integer("config_version").map(Version)?,
            version: row.version()?,
            create_time: row.time("create_time")?,
            update_time: row.time("update_time")?,
            delete_time: row.optional_time("delete_time")?,
        })
    }
}

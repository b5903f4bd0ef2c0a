//! `endpoints`: every endpoint, deleted ones too.

use keeptrusts_webhooks_domain::endpoint::{Endpoint, PreviousSecret};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, PayloadKind};
use keeptrusts_webhooks_domain::secret::SealedSecret;

use super::{Cell, Entity, StoredRow, Table, unreadable, word};
use crate::error::StoreError;

type Column = super::Column<Endpoint>;

fn previous(endpoint: &Endpoint) -> Option<&SealedSecret> {
    endpoint.previous_secret.as_ref().map(|previous| &previous.secret)
}

impl Entity for Endpoint {
    const TABLE: Table<Endpoint> = Table {
        name: "endpoints",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.id)).key(),
            Column::text("name", |row| row.name.as_str().into()),
            Column::text("url", |row| row.url.as_str().into()),
            Column::text("description", |row| row.description.as_str().into()),
            Column::text("event_types", |row| {
                Cell::shown_all(row.event_types.iter().map(|event_type| event_type.name()))
            }),
            Column::text("secret_key_id", |row| row.secret.key_id.as_str().into()),
            Column::bytes("secret_nonce", |row| (&row.secret.nonce).into()),
            Column::bytes("secret_ciphertext", |row| (&row.secret.ciphertext).into()),
            Column::text("previous_secret_key_id", |row| {
                previous(row).map(|secret| secret.key_id.as_str()).into()
            }),
            Column::bytes("previous_secret_nonce", |row| {
                previous(row).map(|secret| &secret.nonce).into()
            }),
            Column::bytes("previous_secret_ciphertext", |row| {
                previous(row).map(|secret| &secret.ciphertext).into()
            }),
            Column::integer("previous_secret_expire_time", |row| {
                row.previous_secret.as_ref().map(|previous| previous.expire_time).into()
            }),
            Column::text("status", |row| row.status.name().into()),
            Column::text("status_reason", |row| row.status_reason.as_str().into()),
            Column::text("status_cause", |row| row.status_cause.map(|cause| cause.name()).into()),
            Column::text("status_delivery_id", |row| row.status_delivery.map(Cell::shown).into()),
            Column::integer("status_time", |row| row.status_time.into()),
            Column::integer("config_version", |row| row.config_version.into()),
            Column::integer("version", |row| row.version.into()),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            Column::integer("update_time", |row| row.update_time.into()),
            Column::integer("delete_time", |row| row.delete_time.into()),
            Column::text("payload_format", |row| row.payload_format.kind().name().into()),
            Column::text("payload_template", |row| row.payload_format.template().into()),
            Column::text("routing_key_key_id", |row| {
                row.payload_format.routing_key().map(|key| key.key_id.as_str()).into()
            }),
            Column::bytes("routing_key_nonce", |row| {
                row.payload_format.routing_key().map(|key| &key.nonce).into()
            }),
            Column::bytes("routing_key_ciphertext", |row| {
                row.payload_format.routing_key().map(|key| &key.ciphertext).into()
            }),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Endpoint, StoreError> {
        let secret = ["secret_key_id", "secret_nonce", "secret_ciphertext"];
        let secret = row.optional_secret(secret)?.ok_or_else(|| unreadable("secret", "NULL"))?;
        let previous = row.optional_secret([
            "previous_secret_key_id",
            "previous_secret_nonce",
            "previous_secret_ciphertext",
        ])?;
        let expire_time = row.optional_time("previous_secret_expire_time")?;
        let previous_secret = previous.zip(expire_time);
        Ok(Endpoint {
            id: row.parsed("endpoint_id")?,
            organization_id: row.parsed("organization_id")?,
            name: row.text("name")?,
            url: row.text("url")?,
            description: row.text("description")?,
            event_types: row.list("event_types")?,
            secret,
            previous_secret: previous_secret
                .map(|(secret, expire_time)| PreviousSecret { secret, expire_time }),
            payload_format: payload_format(row)?,
            status: row.word("status")?,
            status_reason: row.text("status_reason")?,
            status_cause: row
                .optional_text("status_cause")?
                .map(|cause| word(&cause))
                .transpose()?,
            status_delivery: row.optional_parsed("status_delivery_id")?,
            status_time: row.time("status_time")?,
            config_version: row.integer("config_version").map(Version)?,
            version: row.version()?,
            create_time: row.time("create_time")?,
            update_time: row.time("update_time")?,
            delete_time: row.optional_time("delete_time")?,
        })
    }
}

fn payload_format(row: &impl StoredRow) -> Result<PayloadFormat, StoreError> {
    let kind = row.parsed("payload_format")?;
    let lacking = || unreadable("payload_format", format!("{kind} without what belongs to it"));
    Ok(match kind {
        PayloadKind::Keeptrusts => PayloadFormat::Keeptrusts,
        PayloadKind::Slack => PayloadFormat::Slack,
        PayloadKind::Teams => PayloadFormat::Teams,
        PayloadKind::CloudEvents => PayloadFormat::CloudEvents,
        PayloadKind::PagerDuty => {
            let routing_key = row.optional_secret([
                "routing_key_key_id",
                "routing_key_nonce",
                "routing_key_ciphertext",
            ])?;
            PayloadFormat::PagerDuty { routing_key: routing_key.ok_or_else(lacking)? }
        }
        PayloadKind::Custom => {
            let template = row.optional_text("payload_template")?;
            PayloadFormat::Custom { template: template.ok_or_else(lacking)? }
        }
    })
}

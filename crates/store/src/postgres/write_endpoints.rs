//! Writing endpoints: rows with many columns, all of which may change.

use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::secret::SealedSecret;
use sqlx::PgConnection;

use super::write::column;
use crate::rows::{Word, event_types_text, micros};

/// Inserts or replaces endpoints.
pub(super) async fn upsert_endpoints(
    connection: &mut PgConnection,
    shard: Shard,
    endpoints: &[&Endpoint],
) -> Result<(), sqlx::Error> {
    if endpoints.is_empty() {
        return Ok(());
    }
    fn previous(endpoint: &Endpoint) -> Option<&SealedSecret> {
        endpoint.previous_secret.as_ref().map(|previous| &previous.secret)
    }
    fn routing_key(endpoint: &Endpoint) -> Option<&SealedSecret> {
        endpoint.payload_format.routing_key()
    }
    sqlx::query(
        "INSERT INTO endpoints (shard, organization_id, endpoint_id, name, url, description,
                                event_types, secret_key_id, secret_nonce, secret_ciphertext,
                                previous_secret_key_id, previous_secret_nonce,
                                previous_secret_ciphertext, previous_secret_expire_time,
                                status, status_reason, status_cause, status_delivery_id,
                                status_time, config_version, version, create_time,
                                update_time, delete_time, payload_format, payload_template,
                                routing_key_key_id, routing_key_nonce, routing_key_ciphertext)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::bytea[], $10::bytea[], $11::text[], $12::bytea[],
                     $13::bytea[], $14::bigint[], $15::text[], $16::text[], $17::text[],
                     $18::text[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[],
                     $23::bigint[], $24::bigint[], $25::text[], $26::text[], $27::text[],
                     $28::bytea[], $29::bytea[]) AS new
         ON CONFLICT (shard, organization_id, endpoint_id) DO UPDATE SET
             name = excluded.name,
             url = excluded.url,
             description = excluded.description,
             event_types = excluded.event_types,
             secret_key_id = excluded.secret_key_id,
             secret_nonce = excluded.secret_nonce,
             secret_ciphertext = excluded.secret_ciphertext,
             previous_secret_key_id = excluded.previous_secret_key_id,
             previous_secret_nonce = excluded.previous_secret_nonce,
             previous_secret_ciphertext = excluded.previous_secret_ciphertext,
             previous_secret_expire_time = excluded.previous_secret_expire_time,
             status = excluded.status,
             status_reason = excluded.status_reason,
             status_cause = excluded.status_cause,
             status_delivery_id = excluded.status_delivery_id,
             status_time = excluded.status_time,
             config_version = excluded.config_version,
             version = excluded.version,
             update_time = excluded.update_time,
             delete_time = excluded.delete_time,
             payload_format = excluded.payload_format,
             payload_template = excluded.payload_template,
             routing_key_key_id = excluded.routing_key_key_id,
             routing_key_nonce = excluded.routing_key_nonce,
             routing_key_ciphertext = excluded.routing_key_ciphertext",
    )
    .bind(i32::from(shard.0))
    .bind(column(endpoints, |endpoint| endpoint.organization_id.as_str()))
    .bind(column(endpoints, |endpoint| endpoint.id.to_string()))
    .bind(column(endpoints, |endpoint| endpoint.name.as_str()))
    .bind(column(endpoints, |endpoint| endpoint.url.as_str()))
    .bind(column(endpoints, |endpoint| endpoint.description.as_str()))
    .bind(column(endpoints, |endpoint| event_types_text(&endpoint.event_types)))
    .bind(column(endpoints, |endpoint| endpoint.secret.key_id.as_str()))
    .bind(column(endpoints, |endpoint| endpoint.secret.nonce))
    .bind(column(endpoints, |endpoint| endpoint.secret.ciphertext.as_slice()))
    .bind(column(endpoints, |endpoint| previous(endpoint).map(|secret| secret.key_id.as_str())))
    .bind(column(endpoints, |endpoint| previous(endpoint).map(|secret| secret.nonce)))
    .bind(column(endpoints, |endpoint| {
        previous(endpoint).map(|secret| secret.ciphertext.as_slice())
    }))
    .bind(column(endpoints, |endpoint| {
        endpoint.previous_secret.as_ref().map(|previous| micros(previous.expire_time))
    }))
    .bind(column(endpoints, |endpoint| endpoint.status.word()))
    .bind(column(endpoints, |endpoint| endpoint.status_reason.as_str()))
    .bind(column(endpoints, |endpoint| endpoint.status_cause.map(Word::word)))
    .bind(column(endpoints, |endpoint| endpoint.status_delivery.map(|id| id.to_string())))
    .bind(column(endpoints, |endpoint| micros(endpoint.status_time)))
    .bind(column(endpoints, |endpoint| endpoint.config_version.0))
    .bind(column(endpoints, |endpoint| endpoint.version.0))
    .bind(column(endpoints, |endpoint| micros(endpoint.create_time)))
    .bind(column(endpoints, |endpoint| micros(endpoint.update_time)))
    .bind(column(endpoints, |endpoint| endpoint.delete_time.map(micros)))
    .bind(column(endpoints, |endpoint| endpoint.payload_format.kind().name()))
    .bind(column(endpoints, |endpoint| endpoint.payload_format.template()))
    .bind(column(endpoints, |endpoint| routing_key(endpoint).map(|key| key.key_id.as_str())))
    .bind(column(endpoints, |endpoint| routing_key(endpoint).map(|key| key.nonce)))
    .bind(column(endpoints, |endpoint| routing_key(endpoint).map(|key| key.ciphertext.as_slice())))
    .execute(connection)
    .await?;
    Ok(())
}

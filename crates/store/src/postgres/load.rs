//! What a batch must know before it can be planned, and a rebuild before it can go on folding:
//! the rows that its records touch.
//!
//! LIMIT keeps the planner from turning the lookups around: to read all of a shard and see what
//! of it was wanted looks good to it while a table is new.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::EventId;
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::PgConnection;

use super::columns::{DELIVERY, ENDPOINT, EVENT, select};
use super::errors::store_error;
use crate::plan::KeyOwner;
use crate::projection::{Loaded, Touched};
use crate::rows::{DeliveryRow, EndpointRow, EventRow, read_all};
use crate::store::StoreError;

/// The rows that are touched, as far as they exist. At most two statements.
pub(super) async fn load(
    connection: &mut PgConnection,
    shard: Shard,
    touched: &Touched,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    if !touched.endpoints.is_empty() {
        let rows: Vec<EndpointRow> = sqlx::query_as(select(
            ENDPOINT,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM endpoints
                 WHERE shard = $1 AND organization_id = wanted.owner AND endpoint_id = wanted.id
                 LIMIT 1
             ) AS endpoint",
        ))
        .bind(i32::from(shard.0))
        .bind(touched.endpoints.iter().map(|(owner, _)| owner.as_str()).collect::<Vec<_>>())
        .bind(touched.endpoints.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
        let endpoints: Vec<Endpoint> = read_all(rows)?;
        loaded.endpoints = endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint)).collect();
    }
    if !touched.deliveries.is_empty() {
        let rows: Vec<DeliveryRow> = sqlx::query_as(select(
            DELIVERY,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM deliveries
                 WHERE shard = $1 AND organization_id = wanted.owner AND delivery_id = wanted.id
                 LIMIT 1
             ) AS delivery",
        ))
        .bind(i32::from(shard.0))
        .bind(touched.deliveries.iter().map(|(owner, _)| owner.as_str()).collect::<Vec<_>>())
        .bind(touched.deliveries.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
        let deliveries: Vec<Delivery> = read_all(rows)?;
        loaded.deliveries =
            deliveries.into_iter().map(|delivery| (delivery.id, delivery)).collect();
    }
    Ok(loaded)
}

/// Which of these idempotency keys are used: by which event, with what content.
pub(super) async fn used_keys(
    connection: &mut PgConnection,
    shard: Shard,
    keys: &[KeyOwner],
) -> Result<HashMap<KeyOwner, (EventId, [u8; 32])>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<EventRow> = sqlx::query_as(select(
        EVENT,
        "FROM unnest($2::text[], $3::text[]) AS wanted (owner, key)
         CROSS JOIN LATERAL (
             SELECT *
             FROM events
             WHERE shard = $1 AND organization_id = wanted.owner AND idempotency_key = wanted.key
             LIMIT 1
         ) AS event",
    ))
    .bind(i32::from(shard.0))
    .bind(keys.iter().map(|(owner, _)| owner.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let events: Vec<Event> = read_all(rows)?;
    let used = events.into_iter().filter_map(|event| {
        let idempotency = event.idempotency?;
        let owner = (event.organization_id, idempotency.key);
        Some((owner, (event.id, idempotency.request_sha256)))
    });
    Ok(used.collect())
}

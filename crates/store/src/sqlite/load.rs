//! What a transaction reads before it can decide: rows by their keys.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::{Event, IdempotencyKey};
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::SqliteConnection;

use super::errors::failed;
use super::notifications::{LOAD_CHANNELS, LOAD_NOTIFICATIONS};
use super::number;
use super::replays;
use super::set_statement::{SetStatement, Values};
use crate::notification_store::{ChannelRow, NotificationRow};
use crate::plan::KeyOwner;
use crate::projection::{Loaded, Touched};
use crate::rows::{DeliveryRow, EndpointRow, EventRow, KeyRow, read_all};
use crate::store::StoreError;

// CROSS JOIN tells SQLite to begin with the wanted keys and look each of them up.

pub(super) static ENDPOINTS: SetStatement = SetStatement::new(
    2,
    "WITH wanted (organization_id, endpoint_id) AS (VALUES {rows})
     SELECT endpoints.*
     FROM wanted CROSS JOIN endpoints USING (organization_id, endpoint_id)
     WHERE endpoints.shard = ?",
);

pub(super) static DELIVERIES: SetStatement = SetStatement::new(
    2,
    "WITH wanted (organization_id, delivery_id) AS (VALUES {rows})
     SELECT deliveries.*
     FROM wanted CROSS JOIN deliveries USING (organization_id, delivery_id)
     WHERE deliveries.shard = ?",
);

pub(super) static KEYS: SetStatement = SetStatement::new(
    1,
    "WITH wanted (key_id) AS (VALUES {rows})
     SELECT keys.*
     FROM wanted CROSS JOIN keys USING (key_id)
     WHERE keys.shard = ?",
);

pub(super) static EVENTS_BY_KEY: SetStatement = SetStatement::new(
    2,
    "WITH wanted (organization_id, idempotency_key) AS (VALUES {rows})
     SELECT events.*
     FROM wanted CROSS JOIN events USING (organization_id, idempotency_key)
     WHERE events.shard = ?",
);

/// The rows that exist of those that records change.
pub(super) async fn touched(
    connection: &mut SqliteConnection,
    shard: Shard,
    touched: &Touched,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let found = endpoints(connection, shard, &touched.endpoints).await?;
    loaded.endpoints.extend(found.into_iter().map(|row| (row.id, row)));
    let found = deliveries(connection, shard, &touched.deliveries).await?;
    loaded.deliveries.extend(found.into_iter().map(|row| (row.id, row)));
    let bind = |values: &mut Values, id: &KeyId| values.push(id.to_string());
    let found = KEYS
        .fetch::<_, KeyRow>(connection, touched.keys.iter(), bind, &[number(shard)])
        .await
        .map_err(failed)?;
    let keys: Vec<Key> = read_all(found)?;
    loaded.keys.extend(keys.into_iter().map(|row| (row.id, row)));
    let found = replays::load(connection, shard, &touched.replays).await?;
    loaded.replays.extend(found.into_iter().map(|row| (row.id, row)));
    let found = LOAD_CHANNELS
        .fetch::<_, ChannelRow>(connection, touched.channels.iter(), bind_id, &[number(shard)])
        .await
        .map_err(failed)?;
    let channels: Vec<Channel> = read_all(found)?;
    loaded.channels.extend(channels.into_iter().map(|row| (row.id, row)));
    let wanted = touched.notifications.iter();
    let found = LOAD_NOTIFICATIONS
        .fetch::<_, NotificationRow>(connection, wanted, bind_id, &[number(shard)])
        .await
        .map_err(failed)?;
    let notifications: Vec<Notification> = read_all(found)?;
    loaded.notifications.extend(notifications.into_iter().map(|row| (row.id, row)));
    Ok(loaded)
}

/// The endpoints that exist of these.
pub(super) async fn endpoints(
    connection: &mut SqliteConnection,
    shard: Shard,
    ids: &[(OrganizationId, EndpointId)],
) -> Result<Vec<Endpoint>, StoreError> {
    let found = ENDPOINTS
        .fetch::<_, EndpointRow>(connection, ids.iter(), bind_id, &[number(shard)])
        .await
        .map_err(failed)?;
    read_all(found)
}

/// The deliveries that exist of these.
pub(super) async fn deliveries(
    connection: &mut SqliteConnection,
    shard: Shard,
    ids: &[(OrganizationId, DeliveryId)],
) -> Result<Vec<Delivery>, StoreError> {
    let found = DELIVERIES
        .fetch::<_, DeliveryRow>(connection, ids.iter(), bind_id, &[number(shard)])
        .await
        .map_err(failed)?;
    read_all(found)
}

/// The idempotency keys that are used of these: by which event, with what content.
pub(super) async fn idempotency_keys(
    connection: &mut SqliteConnection,
    shard: Shard,
    keys: &[KeyOwner],
) -> Result<HashMap<KeyOwner, (EventId, [u8; 32])>, StoreError> {
    let found = EVENTS_BY_KEY
        .fetch::<_, EventRow>(connection, keys.iter(), bind_key, &[number(shard)])
        .await
        .map_err(failed)?;
    let events: Vec<Event> = read_all(found)?;
    let used = events.into_iter().filter_map(|event| {
        let idempotency = event.idempotency?;
        let owner = (event.organization_id, idempotency.key);
        Some((owner, (event.id, idempotency.request_sha256)))
    });
    Ok(used.collect())
}

fn bind_id<Id: std::fmt::Display>(values: &mut Values, (organization, id): &(OrganizationId, Id)) {
    values.push(organization.as_str());
    values.push(id.to_string());
}

fn bind_key(values: &mut Values, (organization, key): &(OrganizationId, IdempotencyKey)) {
    values.push(organization.as_str());
    values.push(key.as_str());
}

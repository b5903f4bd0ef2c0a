//! What a batch must know before it can be planned, and a rebuild before it can go on folding:
//! the rows that its records touch.
//!
//! LIMIT keeps the planner from turning the lookups around: to read all of a shard and see what
//! of it was wanted looks good to it while a table is new.

use std::collections::HashMap;

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{EventId, OrganizationId};
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::columns::{CHANNEL, DELIVERY, ENDPOINT, EVENT, KEY, NOTIFICATION, select};
use super::errors::store_error;
use super::replays;
use crate::notification_store::{ChannelRow, NotificationRow};
use crate::plan::KeyOwner;
use crate::projection::{Loaded, Touched};
use crate::rows::{DeliveryRow, EndpointRow, EventRow, KeyRow, read_all};
use crate::store::StoreError;

/// The rows that are touched, as far as they exist. At most six statements, and none for what is
/// not touched.
pub(super) async fn load(
    connection: &mut PgConnection,
    shard: Shard,
    touched: &Touched,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    if !touched.endpoints.is_empty() {
        let statement = select(
            ENDPOINT,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM endpoints
                 WHERE shard = $1 AND organization_id = wanted.owner AND endpoint_id = wanted.id
                 LIMIT 1
             ) AS endpoint",
        );
        let wanted = touched.endpoints.iter().map(|(owner, id)| (owner, id.to_string()));
        let endpoints: Vec<Endpoint> =
            fetch::<EndpointRow, _>(connection, statement, shard, wanted).await?;
        loaded.endpoints = endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint)).collect();
    }
    if !touched.deliveries.is_empty() {
        let statement = select(
            DELIVERY,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM deliveries
                 WHERE shard = $1 AND organization_id = wanted.owner AND delivery_id = wanted.id
                 LIMIT 1
             ) AS delivery",
        );
        let wanted = touched.deliveries.iter().map(|(owner, id)| (owner, id.to_string()));
        let deliveries: Vec<Delivery> =
            fetch::<DeliveryRow, _>(connection, statement, shard, wanted).await?;
        loaded.deliveries =
            deliveries.into_iter().map(|delivery| (delivery.id, delivery)).collect();
    }
    if !touched.keys.is_empty() {
        let statement = select(
            KEY,
            "FROM unnest($2::text[]) AS wanted (id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM keys
                 WHERE shard = $1 AND key_id = wanted.id
                 LIMIT 1
             ) AS key",
        );
        let rows = sqlx::query_as::<_, KeyRow>(statement)
            .bind(i32::from(shard.0))
            .bind(touched.keys.iter().map(ToString::to_string).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await
            .map_err(store_error)?;
        let keys: Vec<Key> = read_all(rows)?;
        loaded.keys = keys.into_iter().map(|key| (key.id, key)).collect();
    }
    if !touched.replays.is_empty() {
        let found = replays::load(connection, shard, &touched.replays).await?;
        loaded.replays = found.into_iter().map(|replay| (replay.id, replay)).collect();
    }
    if !touched.channels.is_empty() {
        let statement = select(
            CHANNEL,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM channels
                 WHERE shard = $1 AND organization_id = wanted.owner AND channel_id = wanted.id
                 LIMIT 1
             ) AS channel",
        );
        let wanted = touched.channels.iter().map(|(owner, id)| (owner, id.to_string()));
        let channels: Vec<Channel> =
            fetch::<ChannelRow, _>(connection, statement, shard, wanted).await?;
        loaded.channels = channels.into_iter().map(|channel| (channel.id, channel)).collect();
    }
    if !touched.notifications.is_empty() {
        let statement = select(
            NOTIFICATION,
            "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
             CROSS JOIN LATERAL (
                 SELECT *
                 FROM notifications
                 WHERE shard = $1 AND organization_id = wanted.owner
                   AND notification_id = wanted.id
                 LIMIT 1
             ) AS notification",
        );
        let wanted = touched.notifications.iter().map(|(owner, id)| (owner, id.to_string()));
        let notifications: Vec<Notification> =
            fetch::<NotificationRow, _>(connection, statement, shard, wanted).await?;
        loaded.notifications = notifications.into_iter().map(|row| (row.id, row)).collect();
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
    let statement = select(
        EVENT,
        "FROM unnest($2::text[], $3::text[]) AS wanted (owner, key)
         CROSS JOIN LATERAL (
             SELECT *
             FROM events
             WHERE shard = $1 AND organization_id = wanted.owner AND idempotency_key = wanted.key
             LIMIT 1
         ) AS event",
    );
    let wanted = keys.iter().map(|(owner, key)| (owner, key.as_str().to_owned()));
    let events: Vec<Event> = fetch::<EventRow, _>(connection, statement, shard, wanted).await?;
    let used = events.into_iter().filter_map(|event| {
        let idempotency = event.idempotency?;
        let owner = (event.organization_id, idempotency.key);
        Some((owner, (event.id, idempotency.request_sha256)))
    });
    Ok(used.collect())
}

/// The rows of a shard that are wanted: by owner ($2) and by what they are called there ($3).
async fn fetch<'w, Row, T>(
    connection: &mut PgConnection,
    statement: AssertSqlSafe<String>,
    shard: Shard,
    wanted: impl Iterator<Item = (&'w OrganizationId, String)>,
) -> Result<Vec<T>, StoreError>
where
    Row: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    T: TryFrom<Row, Error = StoreError>,
{
    let (owners, names): (Vec<_>, Vec<_>) =
        wanted.map(|(owner, name)| (owner.as_str(), name)).unzip();
    let rows = sqlx::query_as::<_, Row>(statement)
        .bind(i32::from(shard.0))
        .bind(owners)
        .bind(names)
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    read_all(rows)
}

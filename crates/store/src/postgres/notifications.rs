//! Channels and notifications.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::secret::SealedSecret;
use sqlx::PgConnection;

use super::columns::{CHANNEL, NOTIFICATION, select};
use super::lists::List;
use super::reads::rows;
use super::session::fetch;
use super::write::{column, int};
use super::{PostgresStore, incidents};
use crate::notification_store::{
    ChannelRow, KnownIncident, MailRow, NotificationRow, NotificationStore, Told, ToldRow,
    endpoint_ids_text, incident_bytes, last_cause, recipients, subscriptions_text, summary_bytes,
    waiting_channel,
};
use crate::rows::{Word, duration_micros, micros, read_all};
use crate::store::StoreError;

#[async_trait]
impl NotificationStore for PostgresStore {
    async fn channel(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        let statement = select(
            CHANNEL,
            "FROM channels WHERE shard = $1 AND organization_id = $2 AND channel_id = $3",
        );
        let query = sqlx::query_as::<_, ChannelRow>(statement)
            .bind(i32::from(shard.0))
            .bind(organization.as_str())
            .bind(id.to_string());
        fetch(&self.readers, query).await?.pop().map(Channel::try_from).transpose()
    }

    async fn list_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let mut query = List::of(CHANNEL, "channels", shard, organization)
            .with("delete_time IS NULL AND channel_id <", before.to_string())
            .newest_first("channel_id", limit);
        read_all(fetch::<ChannelRow>(&self.readers, query.build_query_as()).await?)
    }

    async fn count_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query_as::<_, (i64,)>(
            "SELECT count(*)
             FROM channels
             WHERE shard = $1 AND organization_id = $2 AND delete_time IS NULL",
        )
        .bind(i32::from(shard.0))
        .bind(organization.as_str());
        Ok(fetch(&self.readers, query).await?.first().map_or(0, |(count,)| count.unsigned_abs()))
    }

    async fn shard_channels(
        &self,
        shard: Shard,
        after: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let statement = select(
            CHANNEL,
            "FROM channels
             WHERE shard = $1 AND channel_id > $2 AND delete_time IS NULL
             ORDER BY channel_id
             LIMIT $3",
        );
        let query = sqlx::query_as::<_, ChannelRow>(statement)
            .bind(i32::from(shard.0))
            .bind(after.to_string())
            .bind(rows(limit));
        read_all(fetch(&self.readers, query).await?)
    }

    async fn notification(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, StoreError> {
        let statement = select(
            NOTIFICATION,
            "FROM notifications
             WHERE shard = $1 AND organization_id = $2 AND notification_id = $3",
        );
        let query = sqlx::query_as::<_, NotificationRow>(statement)
            .bind(i32::from(shard.0))
            .bind(organization.as_str())
            .bind(id.to_string());
        fetch(&self.readers, query).await?.pop().map(Notification::try_from).transpose()
    }

    async fn list_notifications(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        channel: Option<ChannelId>,
        before: NotificationId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let mut query = List::of(NOTIFICATION, "notifications", shard, organization)
            .with("notification_id <", before.to_string())
            .with_any("channel_id =", channel.map(|id| id.to_string()))
            .newest_first("notification_id", limit);
        read_all(fetch::<NotificationRow>(&self.readers, query.build_query_as()).await?)
    }

    async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let statement = select(
            NOTIFICATION,
            "FROM notifications
             WHERE shard = $1 AND channel_id = $2 AND due_time IS NOT NULL
             ORDER BY due_time, notification_id
             LIMIT $3",
        );
        let query = sqlx::query_as::<_, NotificationRow>(statement)
            .bind(i32::from(shard.0))
            .bind(channel.to_string())
            .bind(rows(limit));
        read_all(fetch(&self.readers, query).await?)
    }

    async fn waiting_channels(
        &self,
        shard: Shard,
    ) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64)>(
            "SELECT channel_id, min(due_time)
             FROM notifications
             WHERE shard = $1 AND due_time IS NOT NULL
             GROUP BY channel_id",
        )
        .bind(i32::from(shard.0));
        fetch(&self.readers, query).await?.into_iter().map(waiting_channel).collect()
    }

    async fn told_of_exhausted(
        &self,
        shard: Shard,
        since: Timestamp,
    ) -> Result<Vec<Told>, StoreError> {
        let query = sqlx::query_as::<_, ToldRow>(
            "SELECT notification_id, channel_id, endpoint_id, state, end_time, count, cause,
                    incident IS NOT NULL AS opens_incident
             FROM notifications
             WHERE shard = $1 AND due_time IS NOT NULL AND type = 'delivery_exhausted'
             UNION ALL
             SELECT notification_id, channel_id, endpoint_id, state, end_time, count, cause,
                    incident IS NOT NULL
             FROM notifications
             WHERE shard = $1 AND end_time >= $2 AND type = 'delivery_exhausted'",
        )
        .bind(i32::from(shard.0))
        .bind(micros(since));
        read_all(fetch(&self.readers, query).await?)
    }

    async fn last_causes(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64)>(
            "SELECT organization_id, max(cause)
             FROM notifications
             WHERE shard = $1 AND cause > $2 AND cause > 0
             GROUP BY organization_id",
        )
        .bind(i32::from(shard.0))
        .bind(after.0);
        fetch(&self.readers, query).await?.into_iter().map(last_cause).collect()
    }

    async fn open_incidents(&self, shard: Shard) -> Result<Vec<KnownIncident>, StoreError> {
        incidents::open_incidents(&self.readers, shard).await
    }

    async fn mail_sent(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<MailSent>, StoreError> {
        let query = sqlx::query_as::<_, MailRow>(
            "SELECT attempt_start_time, attempt_count, attempt_recipients
             FROM notifications
             WHERE shard = $1 AND organization_id = $2 AND attempt_start_time >= $3
                 AND attempt_recipients > 0",
        )
        .bind(i32::from(shard.0))
        .bind(organization.as_str())
        .bind(micros(since));
        read_all(fetch(&self.readers, query).await?)
    }
}

/// Inserts or replaces channels.
pub(super) async fn upsert_channels(
    connection: &mut PgConnection,
    shard: Shard,
    channels: &[&Channel],
) -> Result<(), sqlx::Error> {
    if channels.is_empty() {
        return Ok(());
    }
    fn secret(channel: &Channel) -> Option<&SealedSecret> {
        channel.config.destination.secret.as_ref()
    }
    sqlx::query(
        "INSERT INTO channels (shard, organization_id, channel_id, name, kind, address,
                               secret_key_id, secret_nonce, secret_ciphertext, subscriptions,
                               endpoint_ids, status, status_reason, status_time, config_version,
                               version, create_time, update_time, delete_time)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::text[],
                     $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
                     $18::bigint[], $19::bigint[]) AS new
         ON CONFLICT (shard, organization_id, channel_id) DO UPDATE SET
             name = excluded.name,
             address = excluded.address,
             secret_key_id = excluded.secret_key_id,
             secret_nonce = excluded.secret_nonce,
             secret_ciphertext = excluded.secret_ciphertext,
             subscriptions = excluded.subscriptions,
             endpoint_ids = excluded.endpoint_ids,
             status = excluded.status,
             status_reason = excluded.status_reason,
             status_time = excluded.status_time,
             config_version = excluded.config_version,
             version = excluded.version,
             update_time = excluded.update_time,
             delete_time = excluded.delete_time",
    )
    .bind(i32::from(shard.0))
    .bind(column(channels, |channel| channel.organization_id.as_str()))
    .bind(column(channels, |channel| channel.id.to_string()))
    .bind(column(channels, |channel| channel.config.name.as_str()))
    .bind(column(channels, |channel| channel.config.destination.kind.word()))
    .bind(column(channels, |channel| channel.config.destination.address.as_str()))
    .bind(column(channels, |channel| secret(channel).map(|secret| secret.key_id.as_str())))
    .bind(column(channels, |channel| secret(channel).map(|secret| &secret.nonce[..])))
    .bind(column(channels, |channel| secret(channel).map(|secret| &secret.ciphertext[..])))
    .bind(column(channels, |channel| subscriptions_text(channel)))
    .bind(column(channels, |channel| endpoint_ids_text(channel)))
    .bind(column(channels, |channel| channel.status.word()))
    .bind(column(channels, |channel| channel.status_reason.as_str()))
    .bind(column(channels, |channel| micros(channel.status_time)))
    .bind(column(channels, |channel| channel.config_version.0))
    .bind(column(channels, |channel| channel.version.0))
    .bind(column(channels, |channel| micros(channel.create_time)))
    .bind(column(channels, |channel| micros(channel.update_time)))
    .bind(column(channels, |channel| channel.delete_time.map(micros)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts or replaces notifications.
pub(super) async fn upsert_notifications(
    connection: &mut PgConnection,
    shard: Shard,
    notifications: &[&Notification],
) -> Result<(), sqlx::Error> {
    if notifications.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO notifications (shard, organization_id, notification_id, channel_id, type,
                                    endpoint_id, delivery_id, count, since_time, reason,
                                    first_due_time, summary, state, due_time, attempt_count,
                                    attempt_start_time, attempt_duration, status_code, error,
                                    cause, create_time, end_time, version, incident,
                                    attempt_recipients)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bytea[],
                     $13::text[], $14::bigint[], $15::int[], $16::bigint[], $17::bigint[],
                     $18::int[], $19::text[], $20::bigint[], $21::bigint[], $22::bigint[],
                     $23::bigint[], $24::bytea[], $25::int[]) AS new
         ON CONFLICT (shard, organization_id, notification_id) DO UPDATE SET
             delivery_id = excluded.delivery_id,
             count = excluded.count,
             state = excluded.state,
             due_time = excluded.due_time,
             attempt_count = excluded.attempt_count,
             attempt_start_time = excluded.attempt_start_time,
             attempt_duration = excluded.attempt_duration,
             status_code = excluded.status_code,
             error = excluded.error,
             cause = excluded.cause,
             end_time = excluded.end_time,
             version = excluded.version,
             attempt_recipients = excluded.attempt_recipients",
    )
    .bind(i32::from(shard.0))
    .bind(column(notifications, |row| row.organization_id.as_str()))
    .bind(column(notifications, |row| row.id.to_string()))
    .bind(column(notifications, |row| row.new.channel_id.to_string()))
    .bind(column(notifications, |row| row.new.notification_type.word()))
    .bind(column(notifications, |row| row.new.endpoint_id.map(|id| id.to_string())))
    .bind(column(notifications, |row| row.new.delivery_id.map(|id| id.to_string())))
    .bind(column(notifications, |row| i64::from(row.new.count)))
    .bind(column(notifications, |row| micros(row.new.since)))
    .bind(column(notifications, |row| row.new.reason.as_str()))
    .bind(column(notifications, |row| micros(row.new.due_time)))
    .bind(column(notifications, |row| summary_bytes(row)))
    .bind(column(notifications, |row| row.state.word()))
    .bind(column(notifications, |row| row.due_time.map(micros)))
    .bind(column(notifications, |row| int(row.attempt_count())))
    .bind(column(notifications, |row| {
        row.last_attempt.as_ref().map(|attempt| micros(attempt.start_time))
    }))
    .bind(column(notifications, |row| {
        row.last_attempt.as_ref().map(|attempt| duration_micros(attempt.duration))
    }))
    .bind(column(notifications, |row| {
        row.last_attempt.as_ref().and_then(|attempt| attempt.status_code).map(i32::from)
    }))
    .bind(column(notifications, |row| row.error.as_str()))
    .bind(column(notifications, |row| row.cause.0))
    .bind(column(notifications, |row| micros(row.create_time)))
    .bind(column(notifications, |row| row.end_time.map(micros)))
    .bind(column(notifications, |row| row.version.0))
    .bind(column(notifications, |row| incident_bytes(row)))
    .bind(column(notifications, |row| int(recipients(row))))
    .execute(connection)
    .await?;
    Ok(())
}

//! Channels and notifications.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::QueryBuilder;

use super::errors::failed;
use super::lists::{and, and_of, fetch};
use super::{SqliteStore, incidents, load, number, sql_limit};
use crate::error::StoreError;
use crate::queries::notifications::{
    KnownIncident, NotificationStore, Told, last_cause, last_mail, waiting_channel,
};
use crate::tables::Stored;
use crate::tables::{micros, read_all};

#[async_trait]
impl NotificationStore for SqliteStore {
    async fn channel(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn list_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM channels WHERE delete_time IS NULL");
        and_of(&mut query, shard, organization, "channel_id <", before);
        query.push(" ORDER BY channel_id DESC LIMIT ").push_bind(sql_limit(limit));
        fetch::<Stored<Channel>>(&self.readers, query).await
    }

    async fn count_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let (count,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM channels
             WHERE shard = ? AND organization_id = ? AND delete_time IS NULL",
        )
        .bind(number(shard))
        .bind(organization.as_str())
        .fetch_one(&self.readers)
        .await
        .map_err(failed)?;
        Ok(count.unsigned_abs())
    }

    async fn shard_channels(
        &self,
        shard: Shard,
        after: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let found: Vec<Stored<Channel>> = sqlx::query_as(
            "SELECT * FROM channels INDEXED BY channels_id
             WHERE shard = ? AND channel_id > ? AND delete_time IS NULL
             ORDER BY channel_id
             LIMIT ?",
        )
        .bind(number(shard))
        .bind(after.to_string())
        .bind(sql_limit(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        read_all(found)
    }

    async fn notification(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, StoreError> {
        load::row(&self.readers, shard, (organization.clone(), id)).await
    }

    async fn list_notifications(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        channel: Option<ChannelId>,
        before: NotificationId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let table = match channel {
            Some(_) => "SELECT * FROM notifications INDEXED BY notifications_channel WHERE TRUE",
            None => "SELECT * FROM notifications WHERE TRUE",
        };
        let mut query = QueryBuilder::new(table);
        and_of(&mut query, shard, organization, "notification_id <", before);
        and(&mut query, "channel_id =", channel.map(|id| id.to_string()));
        query.push(" ORDER BY notification_id DESC LIMIT ").push_bind(sql_limit(limit));
        fetch::<Stored<Notification>>(&self.readers, query).await
    }

    async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let found: Vec<Stored<Notification>> = sqlx::query_as(
            "SELECT * FROM notifications INDEXED BY notifications_due
             WHERE shard = ? AND channel_id = ? AND due_time IS NOT NULL
             ORDER BY due_time, notification_id
             LIMIT ?",
        )
        .bind(number(shard))
        .bind(channel.to_string())
        .bind(sql_limit(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        read_all(found)
    }

    async fn waiting_channels(
        &self,
        shard: Shard,
    ) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT channel_id, min(due_time) FROM notifications INDEXED BY notifications_due
             WHERE shard = ? AND due_time IS NOT NULL
             GROUP BY channel_id",
        )
        .bind(number(shard))
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        found.into_iter().map(waiting_channel).collect()
    }

    async fn told_of_exhausted(
        &self,
        shard: Shard,
        since: Timestamp,
    ) -> Result<Vec<Told>, StoreError> {
        let found: Vec<Stored<Notification>> = sqlx::query_as(
            "SELECT *
             FROM notifications INDEXED BY notifications_due
             WHERE shard = ?1 AND due_time IS NOT NULL AND type = 'delivery_exhausted'
             UNION ALL
             SELECT *
             FROM notifications INDEXED BY notifications_told
             WHERE shard = ?1 AND end_time >= ?2 AND type = 'delivery_exhausted'",
        )
        .bind(number(shard))
        .bind(micros(since))
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        Ok(read_all(found)?.iter().filter_map(Told::by).collect())
    }

    async fn last_causes(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT organization_id, max(cause) FROM notifications INDEXED BY notifications_cause
             WHERE shard = ? AND cause > ? AND cause > 0
             GROUP BY organization_id",
        )
        .bind(number(shard))
        .bind(after.0)
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        found.into_iter().map(last_cause).collect()
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
        let found: Vec<Stored<Notification>> = sqlx::query_as(
            "SELECT *
             FROM notifications INDEXED BY notifications_mail
             WHERE shard = ? AND organization_id = ? AND attempt_start_time >= ?
                 AND attempt_recipients > 0",
        )
        .bind(number(shard))
        .bind(organization.as_str())
        .bind(micros(since))
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        Ok(read_all(found)?.iter().filter_map(last_mail).collect())
    }
}

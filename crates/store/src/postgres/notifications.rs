//! Channels and notifications.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use sqlx::AssertSqlSafe;

use super::lists::List;
use super::reads::rows;
use super::select::select;
use super::session::fetch;
use super::{PostgresStore, incidents, load};
use crate::error::StoreError;
use crate::queries::notifications::{
    KnownIncident, NotificationStore, Told, last_cause, last_mail, waiting_channel,
};
use crate::tables::{Entity, Stored, micros, read_all};

#[async_trait]
impl NotificationStore for PostgresStore {
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
        let mut query = List::of::<Channel>(shard, organization)
            .with("delete_time IS NULL AND channel_id <", before.to_string())
            .newest_first("channel_id", limit);
        read_all(fetch::<Stored<Channel>>(&self.readers, query.build_query_as()).await?)
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
        let statement = select::<Channel>(
            "FROM channels
             WHERE shard = $1 AND channel_id > $2 AND delete_time IS NULL
             ORDER BY channel_id
             LIMIT $3",
        );
        let query = sqlx::query_as::<_, Stored<Channel>>(statement)
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
        let mut query = List::of::<Notification>(shard, organization)
            .with("notification_id <", before.to_string())
            .with_any("channel_id =", channel.map(|id| id.to_string()))
            .newest_first("notification_id", limit);
        read_all(fetch::<Stored<Notification>>(&self.readers, query.build_query_as()).await?)
    }

    async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let statement = select::<Notification>(
            "FROM notifications
             WHERE shard = $1 AND channel_id = $2 AND due_time IS NOT NULL
             ORDER BY due_time, notification_id
             LIMIT $3",
        );
        let query = sqlx::query_as::<_, Stored<Notification>>(statement)
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
        let columns = Notification::TABLE.read_columns();
        let statement = AssertSqlSafe(format!(
            "SELECT {columns}
             FROM notifications
             WHERE shard = $1 AND due_time IS NOT NULL AND type = 'delivery_exhausted'
             UNION ALL
             SELECT {columns}
             FROM notifications
             WHERE shard = $1 AND end_time >= $2 AND type = 'delivery_exhausted'"
        ));
        let query = sqlx::query_as::<_, Stored<Notification>>(statement)
            .bind(i32::from(shard.0))
            .bind(micros(since));
        let found = read_all(fetch(&self.readers, query).await?)?;
        Ok(found.iter().filter_map(Told::by).collect())
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
        let statement = select::<Notification>(
            "FROM notifications
             WHERE shard = $1 AND organization_id = $2 AND attempt_start_time >= $3
                 AND attempt_recipients > 0",
        );
        let query = sqlx::query_as::<_, Stored<Notification>>(statement)
            .bind(i32::from(shard.0))
            .bind(organization.as_str())
            .bind(micros(since));
        let found = read_all(fetch(&self.readers, query).await?)?;
        Ok(found.iter().filter_map(last_mail).collect())
    }
}

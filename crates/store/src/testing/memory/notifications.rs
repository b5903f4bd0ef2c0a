//! Channels and notifications.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::{Notification, NotificationType};

use super::MemoryStore;
use crate::error::StoreError;
use crate::queries::notifications::{KnownIncident, NotificationStore, Told, last_mail};

#[async_trait]
impl NotificationStore for MemoryStore {
    async fn channel(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.channels.get(&id);
        Ok(found.filter(|row| row.organization_id == *organization).cloned())
    }

    async fn list_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let data = self.shard(shard);
        let newest_first = data.tables.channels.range(..before).rev().map(|(_, row)| row);
        let listed = newest_first
            .filter(|row| row.organization_id == *organization && row.delete_time.is_none());
        Ok(listed.take(limit).cloned().collect())
    }

    async fn count_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> Result<u64, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.channels.values();
        let counted =
            rows.filter(|row| row.organization_id == *organization && row.delete_time.is_none());
        Ok(counted.count() as u64)
    }

    async fn shard_channels(
        &self,
        shard: Shard,
        after: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.channels.values();
        let found = rows.filter(|row| row.id > after && row.delete_time.is_none());
        Ok(found.take(limit).cloned().collect())
    }

    async fn notification(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, StoreError> {
        let data = self.shard(shard);
        let found = data.tables.notifications.get(&id);
        Ok(found.filter(|row| row.organization_id == *organization).cloned())
    }

    async fn list_notifications(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        channel: Option<ChannelId>,
        before: NotificationId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let data = self.shard(shard);
        let newest_first = data.tables.notifications.range(..before).rev().map(|(_, row)| row);
        let listed = newest_first.filter(|row| {
            row.organization_id == *organization
                && channel.is_none_or(|channel| channel == row.new.channel_id)
        });
        Ok(listed.take(limit).cloned().collect())
    }

    async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.notifications.values();
        let mut waiting: Vec<_> = rows
            .filter(|row| row.new.channel_id == channel)
            .filter_map(|row| Some((row.due_time?, row)))
            .collect();
        waiting.sort_by_key(|(due_time, row)| (*due_time, row.id));
        Ok(waiting.into_iter().take(limit).map(|(_, row)| row.clone()).collect())
    }

    async fn waiting_channels(
        &self,
        shard: Shard,
    ) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
        let data = self.shard(shard);
        let mut earliest = BTreeMap::<ChannelId, Timestamp>::new();
        for row in data.tables.notifications.values() {
            if let Some(due_time) = row.due_time {
                let entry = earliest.entry(row.new.channel_id).or_insert(due_time);
                *entry = (*entry).min(due_time);
            }
        }
        Ok(earliest.into_iter().collect())
    }

    async fn told_of_exhausted(
        &self,
        shard: Shard,
        since: Timestamp,
    ) -> Result<Vec<Told>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.notifications.values();
        let told = rows
            .filter(|row| row.new.notification_type == NotificationType::DeliveryExhausted)
            .filter(|row| row.due_time.is_some() || row.end_time.is_some_and(|end| end >= since))
            .filter_map(Told::by);
        Ok(told.collect())
    }

    async fn last_causes(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        let data = self.shard(shard);
        let mut last = BTreeMap::<OrganizationId, Position>::new();
        let told = data.tables.notifications.values().filter(|row| row.cause.0 > 0);
        for row in told.filter(|row| row.cause > after) {
            let entry = last.entry(row.organization_id.clone()).or_insert(row.cause);
            *entry = (*entry).max(row.cause);
        }
        Ok(last.into_iter().collect())
    }

    async fn open_incidents(&self, shard: Shard) -> Result<Vec<KnownIncident>, StoreError> {
        let data = self.shard(shard);
        let open = data.tables.incidents.iter().filter(|(_, incident)| incident.is_open());
        let known = open.map(|((organization_id, channel_id, endpoint_id), incident)| {
            let organization_id = organization_id.clone();
            let (channel_id, endpoint_id, incident) = (*channel_id, *endpoint_id, *incident);
            KnownIncident { organization_id, channel_id, endpoint_id, incident }
        });
        Ok(known.collect())
    }

    async fn mail_sent(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<MailSent>, StoreError> {
        let data = self.shard(shard);
        let rows = data.tables.notifications.values();
        let sent = rows
            .filter(|row| row.organization_id == *organization)
            .filter_map(last_mail)
            .filter(|mail| mail.time >= since);
        Ok(sent.collect())
    }
}

//! Channels and notifications, as one process sees them.

use async_trait::async_trait;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailSent;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_store::{KnownIncident, NotificationStore, StoreError, Told};

use super::connection::Connection;

macro_rules! over_the_connection {
    ($(async fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        #[async_trait]
        impl NotificationStore for Connection {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$output, StoreError> {
                self.call(stringify!($name), self.database().$name($($argument),*)).await
            })*
        }
    };
}

over_the_connection! {
    async fn channel(
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId
    ) -> Option<Channel>;
    async fn list_channels(
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize
    ) -> Vec<Channel>;
    async fn count_channels(shard: Shard, organization: &OrganizationId) -> u64;
    async fn shard_channels(shard: Shard, after: ChannelId, limit: usize) -> Vec<Channel>;
    async fn notification(
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId
    ) -> Option<Notification>;
    async fn list_notifications(
        shard: Shard,
        organization: &OrganizationId,
        channel: Option<ChannelId>,
        before: NotificationId,
        limit: usize
    ) -> Vec<Notification>;
    async fn waiting_notifications(
        shard: Shard,
        channel: ChannelId,
        limit: usize
    ) -> Vec<Notification>;
    async fn waiting_channels(shard: Shard) -> Vec<(ChannelId, Timestamp)>;
    async fn told_of_exhausted(shard: Shard, since: Timestamp) -> Vec<Told>;
    async fn last_causes(shard: Shard, after: Position) -> Vec<(OrganizationId, Position)>;
    async fn open_incidents(shard: Shard) -> Vec<KnownIncident>;
    async fn mail_sent(
        shard: Shard,
        organization: &OrganizationId,
        since: Timestamp
    ) -> Vec<MailSent>;
}

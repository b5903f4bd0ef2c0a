//! Queries of notification channels.

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;

use super::selection::Selection;
use crate::error::StoreError;
use crate::store::Store;

impl dyn Store + '_ {
    /// A channel, deleted or not.
    pub async fn channel(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// Channels that are not deleted, newest first, with ids below `before`.
    pub async fn list_channels(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        before: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let channels = Selection::new()
            .equal("organization_id", organization)
            .null("delete_time")
            .less("channel_id", before)
            .descending(&["channel_id"])
            .limit(limit);
        self.selected(shard, channels).await
    }

    /// All of a shard's channels that are not deleted, by ascending id, with ids above `after`.
    pub async fn shard_channels(
        &self,
        shard: Shard,
        after: ChannelId,
        limit: usize,
    ) -> Result<Vec<Channel>, StoreError> {
        let channels = Selection::new()
            .by_index("channels_id")
            .null("delete_time")
            .greater("channel_id", after)
            .ascending(&["channel_id"])
            .limit(limit);
        self.selected(shard, channels).await
    }
}

//! NotificationService: channels and their notifications.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use tonic::Status;

use super::{OrganizationClient, PageRef, TEST_LIMIT};

impl OrganizationClient {
    pub(crate) async fn channels(
        &self,
        page: PageRef<'_>,
    ) -> Result<v1::ListChannelsResponse, Status> {
        let request = v1::ListChannelsRequest {
            organization_id: self.id.clone(),
            page_size: page.size,
            page_token: page.token.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.notifications.clone();
        Ok(client.list_channels(self.with_credentials(request)).await?.into_inner())
    }

    pub(crate) async fn channel(&self, channel_id: &str) -> Result<v1::Channel, Status> {
        let request = v1::GetChannelRequest {
            organization_id: self.id.clone(),
            channel_id: channel_id.to_owned(),
        };
        let mut client = self.services.notifications.clone();
        let answer = client.get_channel(self.with_credentials(request)).await?.into_inner();
        Ok(answer.channel.unwrap_or_default())
    }

    pub(crate) async fn create_channel(&self, channel: v1::Channel) -> Result<v1::Channel, Status> {
        let request = v1::CreateChannelRequest {
            organization_id: self.id.clone(),
            channel: Some(channel),
            ..Default::default()
        };
        let mut client = self.services.notifications.clone();
        let answer = client.create_channel(self.with_credentials(request)).await?.into_inner();
        Ok(answer.channel.unwrap_or_default())
    }

    /// Changes name, subscriptions and endpoints, and the destination if there is one; if the etag
    /// is still current.
    pub(crate) async fn update_channel(&self, channel: v1::Channel) -> Result<v1::Channel, Status> {
        let destination = channel.destination.as_ref().map(destination_field);
        let paths =
            ["display_name", "subscriptions", "endpoint_ids"].into_iter().chain(destination);
        let paths = paths.map(str::to_owned).collect();
        let request = v1::UpdateChannelRequest {
            organization_id: self.id.clone(),
            channel: Some(channel),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..Default::default()
        };
        let mut client = self.services.notifications.clone();
        let answer = client.update_channel(self.with_credentials(request)).await?.into_inner();
        Ok(answer.channel.unwrap_or_default())
    }

    pub(crate) async fn delete_channel(&self, channel_id: &str) -> Result<(), Status> {
        let request = v1::DeleteChannelRequest {
            organization_id: self.id.clone(),
            channel_id: channel_id.to_owned(),
            etag: String::new(),
            ..Default::default()
        };
        let mut client = self.services.notifications.clone();
        client.delete_channel(self.with_credentials(request)).await?;
        Ok(())
    }

    /// Waits for the outcome.
    pub(crate) async fn test_channel(&self, channel_id: &str) -> Result<v1::Notification, Status> {
        let request = v1::TestChannelRequest {
            organization_id: self.id.clone(),
            channel_id: channel_id.to_owned(),
            ..Default::default()
        };
        let mut request = self.with_credentials(request);
        request.set_timeout(TEST_LIMIT);
        let mut client = self.services.notifications.clone();
        let answer = client.test_channel(request).await?.into_inner();
        Ok(answer.notification.unwrap_or_default())
    }

    pub(crate) async fn notifications(
        &self,
        page: PageRef<'_>,
        channel_id: &str,
    ) -> Result<v1::ListNotificationsResponse, Status> {
        let request = v1::ListNotificationsRequest {
            organization_id: self.id.clone(),
            page_size: page.size,
            page_token: page.token.to_owned(),
            channel_ids: vec![channel_id.to_owned()],
            ..Default::default()
        };
        let mut client = self.services.notifications.clone();
        Ok(client.list_notifications(self.with_credentials(request)).await?.into_inner())
    }
}

/// The field of a channel that a mask names to change its destination.
fn destination_field(destination: &Destination) -> &'static str {
    match destination {
        Destination::Slack(_) => "slack",
        Destination::Teams(_) => "teams",
        Destination::Pagerduty(_) => "pagerduty",
        Destination::Webhook(_) => "webhook",
        Destination::Email(_) => "email",
    }
}

//! The notification service: manages channels, and lists the notifications that were sent to them.
//! Each change is decided by the domain, appended to the log as a fact, and read back from the log's
//! projections. The dispatch service sends notifications.

mod channel_test;
mod configuration;
mod secrets;

use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, ChannelRef, CreateChannel, DeleteChannel, ListChannels, ListChunk,
    ListNotifications, NotificationRef, UpdateChannel,
};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::notification_service_server::{
    NotificationService, NotificationServiceServer,
};
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand};
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_process::declarative_resource::DeclarativeResource;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::{ListPage, NotificationFilter};
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log, new_ulid};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

pub struct NotificationApi {
    log: Arc<Log>,
    keyring: Arc<Keyring>,
    clock: Clock,
    mail_limits: Option<MailLimits>,
    shutdown: CancellationToken,
}

impl NotificationApi {
    /// `mail_limits` are those of the dispatch service. None: it sends no mail. `shutdown` ends
    /// calls that wait for the outcome of a test, so that they do not delay the shutdown.
    pub fn server(
        log: Arc<Log>,
        keyring: Arc<Keyring>,
        clock: Clock,
        mail_limits: Option<MailLimits>,
        shutdown: CancellationToken,
    ) -> NotificationServiceServer<Self> {
        let api = NotificationApi { log, keyring, clock, mail_limits, shutdown };
        NotificationServiceServer::new(api).max_decoding_message_size(NO_DECODING_LIMIT)
    }

    /// The channel that an earlier request was about, as it is now.
    async fn existing_of(
        &self,
        organization: &OrganizationId,
        stream: Stream,
    ) -> Result<Channel, Status> {
        let Stream::Channel(id) = stream else { return Err(status::internal()) };
        self.read_again(organization, id).await
    }
}

#[tonic::async_trait]
impl NotificationService for NotificationApi {
    async fn create_channel(
        &self,
        request: Request<v1::CreateChannelRequest>,
    ) -> Result<Response<v1::CreateChannelResponse>, Status> {
        let call = AuthorizedRequest::<CreateChannel>::of_identified(request)?;
        let CreateChannel { channel_id, validate_only, .. } = call.request;
        let id = channel_id.unwrap_or_else(|| ChannelId::new(new_ulid((self.clock)())));
        let metadata = call.metadata(id);
        let organization_id = call.request.organization_id.clone();
        let create = self.create(&organization_id, id, call.request, metadata);
        let repeat = |stream| self.existing_of(&organization_id, stream);
        let identity = call.identity.as_ref();
        let done = self.writer(&organization_id).once(identity, create, repeat).await?;
        let (channel, duplicate) = done;
        let mut channel = v1::Channel::from(&channel);
        if validate_only && !duplicate && channel_id.is_none() {
            channel.id.clear();
        }
        let channel = Some(channel);
        Ok(Response::new(v1::CreateChannelResponse { channel, duplicate }))
    }

    async fn get_channel(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::GetChannelResponse>, Status> {
        let ChannelRef { organization_id, channel_id } = AuthorizedRequest::of(request)?.request;
        let channel = self.read(&organization_id, channel_id).await?;
        Ok(Response::new(v1::GetChannelResponse { channel: Some((&channel).into()) }))
    }

    async fn list_channels(
        &self,
        request: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let ListChannels { organization_id, page } = AuthorizedRequest::of(request)?.request;
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let read = |before, limit| async move {
            let channels = store.list_channels(shard, organization, before, limit).await;
            let channels = channels.map_err(database_errors::query_failed)?;
            let items = channels.iter().map(|channel| (channel.id, channel.into())).collect();
            Ok(ListChunk::of_all(items, limit))
        };
        let permit = long_reads::acquire(&self.log, organization);
        let (channels, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListChannelsResponse { channels, next_page_token }))
    }

    async fn update_channel(
        &self,
        request: Request<v1::UpdateChannelRequest>,
    ) -> Result<Response<v1::UpdateChannelResponse>, Status> {
        let call = AuthorizedRequest::<UpdateChannel>::of(request)?;
        let metadata = call.metadata(call.request.channel_id);
        let channel = self.update(&call.request, metadata).await?;
        Ok(Response::new(v1::UpdateChannelResponse { channel: Some((&channel).into()) }))
    }

    async fn delete_channel(
        &self,
        request: Request<v1::DeleteChannelRequest>,
    ) -> Result<Response<v1::DeleteChannelResponse>, Status> {
        let call = AuthorizedRequest::<DeleteChannel>::of(request)?;
        let metadata = call.metadata(call.request.channel_id);
        let DeleteChannel { organization_id, channel_id: id, etag, allow_missing } = call.request;
        let (command, etag) = (ChannelCommand::Delete, etag.as_deref());
        self.delete(&organization_id, id, command, etag, allow_missing, metadata).await?;
        Ok(Response::new(v1::DeleteChannelResponse {}))
    }

    async fn test_channel(
        &self,
        request: Request<v1::TestChannelRequest>,
    ) -> Result<Response<v1::TestChannelResponse>, Status> {
        let call = AuthorizedRequest::of_identified(request)?;
        let (notification, duplicate) = self.test(call).await?;
        let notification = Some((&notification).into());
        Ok(Response::new(v1::TestChannelResponse { notification, duplicate }))
    }

    async fn get_notification(
        &self,
        request: Request<v1::GetNotificationRequest>,
    ) -> Result<Response<v1::GetNotificationResponse>, Status> {
        let NotificationRef { organization_id, notification_id } =
            AuthorizedRequest::of(request)?.request;
        let shard = self.log.shard_of(&organization_id);
        let found = self.log.store().notification(shard, &organization_id, notification_id).await;
        let found = found.map_err(database_errors::query_failed)?;
        let found =
            found.ok_or_else(|| status::not_found(Resource::Notification, notification_id))?;
        Ok(Response::new(v1::GetNotificationResponse { notification: Some((&found).into()) }))
    }

    async fn list_notifications(
        &self,
        request: Request<v1::ListNotificationsRequest>,
    ) -> Result<Response<v1::ListNotificationsResponse>, Status> {
        let ListNotifications { organization_id, page, channel_ids, states } =
            AuthorizedRequest::of(request)?.request;
        let filter = &NotificationFilter { channel_ids: channel_ids.into(), states: states.into() };
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let read = |before, limit| async move {
            let page = store.list_notifications(shard, organization, filter, before, limit).await;
            let ListPage { rows, next } = page.map_err(database_errors::query_failed)?;
            let items = rows.iter().map(|row| (row.id, row.into())).collect();
            Ok(ListChunk { items, next })
        };
        let permit = long_reads::acquire(&self.log, organization);
        let (notifications, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListNotificationsResponse { notifications, next_page_token }))
    }
}

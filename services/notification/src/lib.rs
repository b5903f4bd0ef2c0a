//! The notification service: manages channels, and lists the notifications that were sent to them.
//! Each change is decided by the domain, appended to the log as a fact, and read back from the log's
//! projections. The dispatch service sends notifications.

mod channel_test;
mod commands;
mod secrets;

use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, ChannelRef, CreateChannel, DeleteChannel, ListChannels, ListChunk,
    ListNotifications, NotificationRef, UpdateChannel,
};
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::notification_service_server::{
    NotificationService, NotificationServiceServer,
};
use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelFact, ChannelKind, deduplicated_ids,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::limits::MAX_CHANNELS;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::mail_limits::MailLimits;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::{ListPage, NotificationFilter};
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, ExpectedVersion, Log, NewRecord, new_ulid};
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

    /// Channels that are created at the same moment do not see each other, so that together they
    /// may exceed the limit.
    async fn refuse_if_full(&self, organization: &OrganizationId) -> Result<(), Status> {
        let shard = self.log.shard_of(organization);
        let count = self.log.store().count_channels(shard, organization).await;
        if count.map_err(database_errors::query_failed)? < MAX_CHANNELS {
            return Ok(());
        }
        let message = format!(
            "the organization has {MAX_CHANNELS} notification channels and may not have more: delete some"
        );
        Err(status::resource_exhausted(Reason::TooManyChannels, message))
    }

    fn refuse_without_mail(&self, kind: ChannelKind) -> Result<(), Status> {
        if kind != ChannelKind::Email || self.mail_limits.is_some() {
            return Ok(());
        }
        let message = "this server sends no mail, because its operators have given no --smtp-server: choose another kind of channel, or ask them for one";
        Err(status::failed_precondition(Reason::MailNotConfigured, message))
    }

    async fn read(&self, organization: &OrganizationId, id: ChannelId) -> Result<Channel, Status> {
        let shard = self.log.shard_of(organization);
        let channel = self.log.store().channel(shard, organization, id).await;
        let channel = channel.map_err(database_errors::query_failed)?;
        let existing = channel.filter(|channel| channel.delete_time.is_none());
        existing.ok_or_else(|| status::not_found(Resource::Channel, id))
    }
}

#[tonic::async_trait]
impl NotificationService for NotificationApi {
    async fn create_channel(
        &self,
        request: Request<v1::CreateChannelRequest>,
    ) -> Result<Response<v1::CreateChannelResponse>, Status> {
        let call = AuthorizedRequest::<CreateChannel>::of(request)?;
        let id = ChannelId::new(new_ulid((self.clock)()));
        let metadata = call.metadata(id);
        let CreateChannel { organization_id, mut config } = call.request;
        self.refuse_without_mail(config.destination.kind)?;
        self.refuse_if_full(&organization_id).await?;
        self.refuse_unknown_endpoints(&organization_id, &config.endpoint_ids, &[]).await?;
        config.endpoint_ids = deduplicated_ids(config.endpoint_ids);
        let destination = self.seal(&organization_id, id, config.destination.clone(), None).await?;
        let config = config.with_destination(destination);
        let record = NewRecord {
            stream: Stream::Channel(id),
            expected: ExpectedVersion::New,
            fact: Fact::Channel(ChannelFact::Created(config.clone())),
        };
        let (_, recorded_at) = self.writer(&organization_id).append(record, metadata).await?;
        let channel = Channel::created(id, organization_id, config, recorded_at);
        Ok(Response::new(v1::CreateChannelResponse {
            channel: Some((&channel).into()),
            ..Default::default()
        }))
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
        let UpdateChannel { organization_id: organization, channel_id: id, etag, mut patch } =
            call.request;
        // First, so that a request for a missing channel leaves no data key behind.
        let current = self.read(&organization, id).await?.config;
        if let Some(ids) = &patch.endpoint_ids {
            self.refuse_unknown_endpoints(&organization, ids, &current.endpoint_ids).await?;
        }
        patch.endpoint_ids = patch.endpoint_ids.map(deduplicated_ids);
        let destination = match patch.destination.clone() {
            Some(destination) => {
                let secret = current.destination.secret.as_ref();
                Some(self.seal(&organization, id, destination, secret).await?)
            }
            None => None,
        };
        let command = ChannelCommand::Update(patch.with_destination(destination));
        let channel = self.execute(&organization, id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::UpdateChannelResponse { channel: Some((&channel).into()) }))
    }

    async fn delete_channel(
        &self,
        request: Request<v1::DeleteChannelRequest>,
    ) -> Result<Response<v1::DeleteChannelResponse>, Status> {
        let call = AuthorizedRequest::<DeleteChannel>::of(request)?;
        let metadata = call.metadata(call.request.channel_id);
        let DeleteChannel { organization_id, channel_id, etag } = call.request;
        let command = ChannelCommand::Delete;
        self.execute(&organization_id, channel_id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::DeleteChannelResponse {}))
    }

    async fn test_channel(
        &self,
        request: Request<v1::TestChannelRequest>,
    ) -> Result<Response<v1::TestChannelResponse>, Status> {
        let notification = self.test(AuthorizedRequest::of(request)?).await?;
        Ok(Response::new(v1::TestChannelResponse {
            notification: Some((&notification).into()),
            ..Default::default()
        }))
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

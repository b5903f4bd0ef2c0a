//! How channels are created, updated and deleted: what is checked and sealed before the log decides.

use keeptrusts_webhooks_contracts::api::{
    CHANNEL_ENDPOINT_IDS, CreateChannel, UpdateChannel, channel_destination_field,
    channel_secret_field,
};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource, ResourceWithCallersId};
use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelFact, ChannelKind, ChannelRefusal, check_endpoints_exist,
    deduplicated_ids,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::limits::MAX_CHANNELS;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::declarative_resource::{DeclarativeResource, Target};
use keeptrusts_webhooks_process::log_writer::{LogWriter, WriteError};
use keeptrusts_webhooks_process::sealing::Sealing;
use keeptrusts_webhooks_store::{CountLimit, Counted, ExpectedVersion, NewRecord};
use tonic::Status;

use crate::NotificationApi;

impl DeclarativeResource for NotificationApi {
    type Id = ChannelId;
    type Entity = Channel;
    type Command = ChannelCommand;
    type Creation = CreateChannel;
    type Update = UpdateChannel;

    const RESOURCE: ResourceWithCallersId = ResourceWithCallersId::Channel;

    fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }

    async fn find(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<Option<Channel>, Status> {
        let shard = self.log.shard_of(organization);
        let channel = self.log.store().channel(shard, organization, id).await;
        channel.map_err(database_errors::query_failed)
    }

    fn is_deleted(channel: &Channel) -> bool {
        channel.delete_time.is_some()
    }

    fn decide(
        channel: &Channel,
        command: ChannelCommand,
        etag: Option<&str>,
    ) -> Result<Option<ChannelFact>, Status> {
        channel.decide(command, etag).map_err(|refusal| match refusal {
            ChannelRefusal::Deleted => status::not_found(Resource::Channel, channel.id),
            ChannelRefusal::StaleEtag => status::aborted_stale_etag(Resource::Channel),
            ChannelRefusal::OtherKind { given, .. } => {
                let field = channel_destination_field(given);
                status::invalid_argument(vec![Violation::not_allowed(field, refusal.to_string())])
            }
            ChannelRefusal::CredentialRequired(why) => {
                let field = channel_secret_field(channel.config.destination.kind);
                status::failed_precondition_credential(field, why.to_string())
            }
        })
    }

    async fn try_create(
        &self,
        id: ChannelId,
        request: CreateChannel,
        metadata: Metadata,
    ) -> Result<Channel, WriteError> {
        let CreateChannel { organization_id, channel_id: _, mut config, validate_only } = request;
        self.refuse_without_mail(config.destination.kind)?;
        self.refuse_unknown_endpoints(&organization_id, &config.endpoint_ids, &[]).await?;
        config.endpoint_ids = deduplicated_ids(config.endpoint_ids);
        let (sealing, destination) = (Sealing::unless(validate_only), config.destination.clone());
        let destination = self.seal(sealing, &organization_id, id, destination, None).await?;
        let config = config.with_destination(destination);
        let record = NewRecord {
            stream: Stream::Channel(id),
            expected: ExpectedVersion::New,
            fact: Fact::Channel(ChannelFact::Created(config.clone())),
        };
        let limit = CountLimit { counted: Counted::Channels, max: MAX_CHANNELS };
        let writer = self.writer(&organization_id).within([limit]).validating(validate_only);
        let recorded_at = writer.try_append(vec![record], metadata).await?;
        Ok(Channel::created(id, organization_id, config, recorded_at))
    }

    fn limit_reached(limit: CountLimit) -> Status {
        let message = format!(
            "the organization has {} notification channels and may not have more: delete some",
            limit.max
        );
        status::resource_exhausted(Reason::TooManyChannels, message)
    }

    fn target(request: &UpdateChannel) -> Target<'_, NotificationApi> {
        Target {
            organization: &request.organization_id,
            id: request.channel_id,
            etag: request.etag.as_deref(),
            creation: request.creation.as_ref(),
        }
    }

    async fn change(
        &self,
        channel: Channel,
        request: &UpdateChannel,
        metadata: Metadata,
    ) -> Result<Channel, WriteError> {
        let UpdateChannel { organization_id, channel_id: id, validate_only, .. } = request;
        let (mut patch, current) = (request.patch.clone(), &channel.config);
        if let Some(ids) = &patch.endpoint_ids {
            self.refuse_unknown_endpoints(organization_id, ids, &current.endpoint_ids).await?;
        }
        patch.endpoint_ids = patch.endpoint_ids.map(deduplicated_ids);
        let destination = match patch.destination.clone() {
            Some(destination) => {
                let secret = current.destination.secret.as_ref();
                let sealing = Sealing::unless(*validate_only);
                Some(self.seal(sealing, organization_id, *id, destination, secret).await?)
            }
            None => None,
        };
        let command = ChannelCommand::Update(patch.with_destination(destination));
        let fact = Self::decide(&channel, command, request.etag.as_deref())?;
        let writer = self.writer(organization_id).validating(*validate_only);
        writer.record(channel, fact, metadata).await
    }
}

impl NotificationApi {
    fn refuse_without_mail(&self, kind: ChannelKind) -> Result<(), Status> {
        if kind != ChannelKind::Email || self.mail_limits.is_some() {
            return Ok(());
        }
        let message = "this server sends no mail, because its operators have given no --smtp-server: choose another kind of channel, or ask them for one";
        Err(status::failed_precondition(Reason::MailNotConfigured, message))
    }

    /// Refuses endpoints that do not belong to the organization. Deleted endpoints among `current`,
    /// which the channel has already, are permitted.
    async fn refuse_unknown_endpoints(
        &self,
        organization: &OrganizationId,
        ids: &[EndpointId],
        current: &[EndpointId],
    ) -> Result<(), Status> {
        let shard = self.log.shard_of(organization);
        let endpoints = self.log.store().endpoints(shard, organization, ids).await;
        let endpoints = endpoints.map_err(database_errors::query_failed)?;
        let existing = endpoints.iter().filter(|endpoint| endpoint.delete_time.is_none());
        let existing: Vec<_> = existing.map(|endpoint| endpoint.id).collect();
        check_endpoints_exist(CHANNEL_ENDPOINT_IDS, ids, &existing, current)
            .map_err(status::invalid_argument)
    }
}

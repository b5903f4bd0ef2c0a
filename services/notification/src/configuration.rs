//! CreateChannel and UpdateChannel. With `allow_missing`, an update creates what is missing, so that
//! declarative tools can repeat one call until it says that everything is as it should be.
//!
//! Decision: docs/decisions/ids-may-be-the-callers.md

use keeptrusts_webhooks_contracts::api::{CHANNEL_ENDPOINT_IDS, CreateChannel, UpdateChannel};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource, ResourceWithCallersId, TakenId};
use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelFact, check_endpoints_exist, deduplicated_ids,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::log_writer::{WriteError, retry_on_conflict};
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord};
use tonic::Status;

use crate::NotificationApi;
use crate::commands::{decide, stale_etag};
use crate::secrets::Sealing;

impl NotificationApi {
    /// Creates a channel, or only checks whether it could be created.
    pub(crate) async fn create(
        &self,
        id: ChannelId,
        request: CreateChannel,
        metadata: Metadata,
    ) -> Result<Channel, WriteError> {
        let organization = request.organization_id.clone();
        if request.channel_id.is_some() {
            self.refuse_taken(&organization, id).await?;
        }
        match self.try_create(id, request, metadata).await {
            Err(WriteError::Conflict) => {
                self.refuse_taken(&organization, id).await?;
                Err(already_exists(id, TakenId::Otherwise).into())
            }
            created => created,
        }
    }

    /// Before anything is written, and for the words: what counts is decided when the record is appended.
    async fn refuse_taken(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
    ) -> Result<(), Status> {
        match self.find(organization, id).await? {
            None => Ok(()),
            Some(channel) if channel.delete_time.is_some() => {
                Err(already_exists(id, TakenId::ByDeletedResource))
            }
            Some(_) => Err(already_exists(id, TakenId::ByResource)),
        }
    }

    /// Conflict: something has the id.
    async fn try_create(
        &self,
        id: ChannelId,
        request: CreateChannel,
        metadata: Metadata,
    ) -> Result<Channel, WriteError> {
        let CreateChannel { organization_id, channel_id: _, mut config, validate_only } = request;
        self.refuse_without_mail(config.destination.kind)?;
        self.refuse_if_full(&organization_id).await?;
        self.refuse_unknown_endpoints(&organization_id, &config.endpoint_ids, &[]).await?;
        config.endpoint_ids = deduplicated_ids(config.endpoint_ids);
        let (sealing, destination) = (Sealing::unless(validate_only), config.destination.clone());
        let destination = self.seal(sealing, &organization_id, id, destination, None).await?;
        let config = config.with_destination(destination);
        let recorded_at = match validate_only {
            true => (self.clock)(),
            false => {
                let record = NewRecord {
                    stream: Stream::Channel(id),
                    expected: ExpectedVersion::New,
                    fact: Fact::Channel(ChannelFact::Created(config.clone())),
                };
                self.writer(&organization_id).try_append(vec![record], metadata).await?
            }
        };
        Ok(Channel::created(id, organization_id, config, recorded_at))
    }

    /// Updates a channel, or creates it if it is missing and that is allowed; or only checks whether it
    /// could.
    pub(crate) async fn update(
        &self,
        request: UpdateChannel,
        metadata: Metadata,
    ) -> Result<Channel, Status> {
        let attempt = || self.try_update(&request, metadata.clone());
        Ok(retry_on_conflict(attempt).await?)
    }

    async fn try_update(
        &self,
        request: &UpdateChannel,
        metadata: Metadata,
    ) -> Result<Channel, WriteError> {
        let (organization, id) = (&request.organization_id, request.channel_id);
        let found = self.find(organization, id).await?;
        let Some(creation) = &request.creation else {
            let existing = found.filter(|channel| channel.delete_time.is_none());
            let existing = existing.ok_or_else(|| status::not_found(Resource::Channel, id))?;
            return self.change(existing, request, metadata).await;
        };
        match found {
            Some(deleted) if deleted.delete_time.is_some() => {
                Err(already_exists(id, TakenId::ByDeletedResource).into())
            }
            Some(existing) => self.change(existing, request, metadata).await,
            // The caller has read a channel, and it is not there.
            None if request.etag.is_some() => Err(stale_etag().into()),
            None => {
                let creation = creation.clone().map_err(Status::from)?;
                match self.try_create(id, creation, metadata).await {
                    Err(WriteError::Conflict) if self.find(organization, id).await?.is_none() => {
                        Err(already_exists(id, TakenId::Otherwise).into())
                    }
                    created => created,
                }
            }
        }
    }

    async fn change(
        &self,
        mut channel: Channel,
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
        let fact = decide(&channel, command, request.etag.as_deref())?;
        if !validate_only {
            return self.writer(organization_id).record(channel, fact, metadata).await;
        }
        fact.iter().for_each(|fact| channel.apply(fact, (self.clock)()));
        Ok(channel)
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

fn already_exists(id: ChannelId, taken: TakenId) -> Status {
    status::already_exists(ResourceWithCallersId::Channel, id, taken)
}

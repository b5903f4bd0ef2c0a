//! Executes commands on channels: the domain decides, the log records the fact.

use keeptrusts_webhooks_contracts::api::{CHANNEL_ENDPOINT_IDS, channel_secret_field};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelRefusal, check_endpoints_exist,
};
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::log_writer::LogWriter;
use tonic::Status;

use crate::NotificationApi;

impl NotificationApi {
    /// Executes a command and returns the channel after it. An etag must be the current one.
    pub(crate) async fn execute(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
        command: ChannelCommand,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> Result<Channel, Status> {
        let decide = || async {
            let channel = self.read(organization, id).await?;
            let decided = channel.decide(command.clone(), etag);
            let decided = decided.map_err(|refusal| refused(&channel, refusal))?;
            Ok((channel, decided))
        };
        let metadata = |_: &Channel| metadata.clone();
        Ok(self.writer(organization).change(decide, metadata, stale_etag).await?)
    }

    pub(crate) fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }

    /// Refuses endpoints that do not belong to the organization. Deleted endpoints among `current`,
    /// which the channel has already, are permitted.
    pub(crate) async fn refuse_unknown_endpoints(
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

fn refused(channel: &Channel, refusal: ChannelRefusal) -> Status {
    match refusal {
        ChannelRefusal::Deleted => status::not_found(Resource::Channel, channel.id),
        ChannelRefusal::StaleEtag => stale_etag(),
        ChannelRefusal::OtherKind => {
            let violation = Violation::new("channel.destination", refusal.to_string());
            status::invalid_argument(vec![violation])
        }
        ChannelRefusal::CredentialRequired(why) => {
            let field = channel_secret_field(channel.config.destination.kind);
            status::failed_precondition_credential(field, why.to_string())
        }
    }
}

fn stale_etag() -> Status {
    status::aborted_stale_etag_of(Resource::Channel)
}

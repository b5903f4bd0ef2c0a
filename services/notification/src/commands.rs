//! From a command to a fact in the log: read, decide, append, and again if somebody was faster.

use keeptrusts_webhooks_contracts::api::{CHANNEL_ENDPOINT_IDS, channel_secret_field};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelRefusal, check_endpoints_exist,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{Expected, NewRecord, Operation, Refusal};
use tonic::Status;

use crate::NotificationApi;

impl NotificationApi {
    /// Carries out a command; the channel after it. With an etag, only if it is the current one.
    pub(crate) async fn execute(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
        command: ChannelCommand,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> Result<Channel, Status> {
        let mut attempts = answer::Attempts::default();
        loop {
            let mut channel = self.read(organization, id).await?;
            let decided =
                channel.decide(command.clone(), etag).map_err(|refusal| match refusal {
                    ChannelRefusal::Deleted => status::not_found(Resource::Channel, id),
                    ChannelRefusal::StaleEtag => stale_etag(),
                    ChannelRefusal::OtherKind => {
                        let description = ChannelRefusal::OtherKind.to_string();
                        let violation = Violation::new("channel.destination", description);
                        status::invalid_argument(vec![violation])
                    }
                    ChannelRefusal::CredentialRequired(why) => {
                        let field = channel_secret_field(channel.config.destination.kind);
                        status::failed_precondition_credential(field, why.to_string())
                    }
                })?;
            let Some(fact) = decided else { return Ok(channel) };
            let record = NewRecord {
                stream: Stream::Channel(id),
                expected: Expected::Version(channel.version),
                fact: Fact::Channel(fact.clone()),
            };
            match self.append(organization, record, metadata.clone()).await? {
                Ok(recorded_at) => {
                    channel.apply(&fact, recorded_at);
                    return Ok(channel);
                }
                Err(refusal) => attempts.again(refusal, stale_etag)?,
            }
        }
    }

    /// Refuses endpoints that the organization does not have, whoever else has them. The channel is
    /// told about the `current` ones already: one that was deleted since need not be taken out.
    pub(crate) async fn refuse_unknown_endpoints(
        &self,
        organization: &OrganizationId,
        ids: &[EndpointId],
        current: &[EndpointId],
    ) -> Result<(), Status> {
        let shard = self.log.shard_of(organization);
        let found = self.log.store().endpoints(shard, organization, ids).await;
        let found = found.map_err(answer::query_failed)?;
        let existing = found.iter().filter(|endpoint| endpoint.delete_time.is_none());
        let existing: Vec<_> = existing.map(|endpoint| endpoint.id).collect();
        check_endpoints_exist(CHANNEL_ENDPOINT_IDS, ids, &existing, current)
            .map_err(status::invalid_argument)
    }

    /// Appends one record; the time it was recorded at.
    pub(crate) async fn append(
        &self,
        organization: &OrganizationId,
        record: NewRecord,
        metadata: Metadata,
    ) -> Result<Result<Timestamp, Refusal>, Status> {
        let operation = Operation::recording(organization, vec![record], metadata, (self.clock)());
        answer::record(&self.log, self.log.shard_of(organization), operation).await
    }
}

fn stale_etag() -> Status {
    status::aborted_stale_etag_of(Resource::Channel)
}

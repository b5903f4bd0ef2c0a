//! From a command to a fact in the log: read, decide, append, and again if somebody was faster.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand, ChannelRefusal};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
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

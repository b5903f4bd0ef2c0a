//! Executes commands on channels: the domain decides, the log records the fact.

use keeptrusts_webhooks_contracts::api::{channel_destination_field, channel_secret_field};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand, ChannelFact, ChannelRefusal};
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::violation::Violation;
use keeptrusts_webhooks_process::log_writer::{LogWriter, retry_on_conflict};
use tonic::Status;

use crate::NotificationApi;

impl NotificationApi {
    /// Executes a command and returns the channel after it. An etag must be the current one. None:
    /// there is no such channel, or it was deleted.
    pub(crate) async fn execute_if_exists(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
        command: ChannelCommand,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> Result<Option<Channel>, Status> {
        let attempt = || async {
            let Some(channel) = self.existing(organization, id).await? else { return Ok(None) };
            let fact = decide(&channel, command.clone(), etag)?;
            self.writer(organization).record(channel, fact, metadata.clone()).await.map(Some)
        };
        Ok(retry_on_conflict(attempt).await?)
    }

    pub(crate) fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }
}

/// The fact that follows from a command, or the status of its refusal.
pub(crate) fn decide(
    channel: &Channel,
    command: ChannelCommand,
    etag: Option<&str>,
) -> Result<Option<ChannelFact>, Status> {
    channel.decide(command, etag).map_err(|refusal| match refusal {
        ChannelRefusal::Deleted => status::not_found(Resource::Channel, channel.id),
        ChannelRefusal::StaleEtag => stale_etag(),
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

pub(crate) fn stale_etag() -> Status {
    status::aborted_stale_etag_of(Resource::Channel)
}

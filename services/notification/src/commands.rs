//! Commands on channels: the domain decides.

use keeptrusts_webhooks_contracts::api::{channel_destination_field, channel_secret_field};
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand, ChannelFact, ChannelRefusal};
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::Status;

/// The fact that follows from a command, or the status of its refusal.
pub(crate) fn decide(
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

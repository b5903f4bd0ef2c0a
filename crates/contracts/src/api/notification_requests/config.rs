//! CreateChannel, and UpdateChannel with its field mask.

use keeptrusts_webhooks_domain::channel::{ChannelConfig, ChannelPatch, check_endpoint_ids};
use keeptrusts_webhooks_domain::endpoint_config::check_display_name;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::violation::Violation;

use super::{NewDestination, Secrets, destination, subscriptions};
use crate::api::Violations;
use crate::api::field_mask::{FieldReader, Mask, UpdatableFields};
use crate::api::fields::id;
use crate::v1;
use crate::v1::channel::Destination;

/// CreateChannel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateChannel {
    /// The organization that will own it.
    pub organization_id: OrganizationId,
    /// The configuration. The endpoints are in the order of the request; their existence is not checked
    /// yet.
    pub config: ChannelConfig<NewDestination>,
}

/// UpdateChannel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateChannel {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The channel.
    pub channel_id: ChannelId,
    /// If set, the request is refused unless this is the current etag.
    pub etag: Option<String>,
    /// New values. The endpoints are in the order of the request; their existence is not checked yet.
    pub patch: ChannelPatch<NewDestination>,
}

const UPDATABLE: UpdatableFields =
    UpdatableFields { config: ChannelConfig::FIELDS, others: &[], only_by_name: &["destination"] };

fn patch(
    channel: &v1::Channel,
    mask: &Mask,
    secrets: Secrets,
    violations: &mut Violations,
) -> ChannelPatch<NewDestination> {
    let given = match mask {
        Mask::NotEmpty => channel.destination.clone().filter(says_where),
        Mask::Everything | Mask::Named { .. } => channel.destination.clone(),
    };
    let mut fields = FieldReader::new(mask, "channel.", violations);
    ChannelPatch {
        display_name: fields.read("display_name", &channel.display_name, check_display_name),
        destination: fields.read("destination", &given, |_, given| destination(given, secrets)),
        subscriptions: fields.read("subscriptions", &channel.subscriptions, |field, numbers| {
            subscriptions(field, &numbers)
        }),
        endpoint_ids: fields.read("endpoint_ids", &channel.endpoint_ids, |field, ids| {
            check_endpoint_ids(field, &ids)
        }),
    }
}

/// Whether a destination has more than what responses show of it. A channel that is sent back as it was
/// read keeps its destination.
fn says_where(destination: &Destination) -> bool {
    match destination {
        Destination::Slack(slack) => !slack.url.is_empty(),
        Destination::Teams(teams) => !teams.url.is_empty(),
        Destination::Pagerduty(_) | Destination::Webhook(_) | Destination::Email(_) => true,
    }
}

impl TryFrom<v1::CreateChannelRequest> for CreateChannel {
    type Error = Violations;

    fn try_from(request: v1::CreateChannelRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let channel = request.channel.unwrap_or_default();
        let patch = patch(&channel, &Mask::Everything, Secrets::AreRequired, &mut violations);
        match (organization_id, patch.complete()) {
            (Some(organization_id), Some(config)) => Ok(CreateChannel { organization_id, config }),
            _ => Err(violations),
        }
    }
}

impl TryFrom<v1::UpdateChannelRequest> for UpdateChannel {
    type Error = Violations;

    fn try_from(request: v1::UpdateChannelRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let mask = violations.check_all(Mask::new(request.update_mask.as_ref(), &UPDATABLE));
        let Some(channel) = request.channel else {
            let description = "is required: its id says which one, the others are new values";
            violations.check::<()>(Err(Violation::new("channel", description)));
            return Err(violations);
        };
        let channel_id = violations.check(id("channel.id", &channel.id));
        // An invalid mask has been reported. Without it, the other fields cannot be checked.
        let Some(mask) = mask else { return Err(violations) };
        let patch = patch(&channel, &mask, Secrets::MayStay, &mut violations);
        match (organization_id, channel_id) {
            (Some(organization_id), Some(channel_id)) if violations.is_empty() => {
                let etag = Some(channel.etag).filter(|etag| !etag.is_empty());
                Ok(UpdateChannel { organization_id, channel_id, etag, patch })
            }
            _ => Err(violations),
        }
    }
}

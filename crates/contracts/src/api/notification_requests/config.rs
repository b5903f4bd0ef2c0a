//! CreateChannel, and UpdateChannel with its field mask.

use keeptrusts_webhooks_domain::channel::{ChannelConfig, ChannelPatch, check_endpoint_ids};
use keeptrusts_webhooks_domain::endpoint_config::check_display_name;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::violation::Violation;

use super::{DESTINATIONS, NewDestination, Secrets, destination, kind_of, subscriptions};
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
    /// Its id. None: the server makes one.
    pub channel_id: Option<ChannelId>,
    /// The configuration. The endpoints are in the order of the request; their existence is not checked
    /// yet.
    pub config: ChannelConfig<NewDestination>,
    /// Whether it is only checked.
    pub validate_only: bool,
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
    /// What to create if the channel is missing, with its id, or why that cannot be created. None: a
    /// missing channel is not found.
    pub creation: Option<Result<CreateChannel, Violations>>,
    /// Whether it is only checked.
    pub validate_only: bool,
}

/// A oneof has no name in a mask: its fields have (the destination of the configuration is one of them).
const DESTINATION_FIELDS: &[&str] = &[
    DESTINATIONS[0].0,
    DESTINATIONS[1].0,
    DESTINATIONS[2].0,
    DESTINATIONS[3].0,
    DESTINATIONS[4].0,
];

const UPDATABLE: UpdatableFields = UpdatableFields {
    config: &["display_name", "subscriptions", "endpoint_ids"],
    others: DESTINATION_FIELDS,
    only_by_name: DESTINATION_FIELDS,
};

fn patch(
    channel: &v1::Channel,
    mask: &Mask,
    secrets: Secrets,
    violations: &mut Violations,
) -> ChannelPatch<NewDestination> {
    let display_name = FieldReader::new(mask, "channel.", violations).read(
        "display_name",
        &channel.display_name,
        check_display_name,
    );
    let destination = violations.check_all(match mask {
        Mask::Everything => destination(channel.destination.clone(), secrets).map(Some),
        Mask::NotEmpty => {
            let given = channel.destination.clone().filter(says_where);
            given.map(|given| destination(Some(given), secrets)).transpose()
        }
        Mask::Named { .. } => named_destination(channel.destination.as_ref(), mask, secrets),
    });
    let mut fields = FieldReader::new(mask, "channel.", violations);
    ChannelPatch {
        display_name,
        destination: destination.flatten(),
        subscriptions: fields.read("subscriptions", &channel.subscriptions, |field, numbers| {
            subscriptions(field, &numbers)
        }),
        endpoint_ids: fields.read("endpoint_ids", &channel.endpoint_ids, |field, ids| {
            check_endpoint_ids(field, &ids)
        }),
    }
}

/// The destination whose field a mask names. The message must have that one, and none but that one.
fn named_destination(
    given: Option<&Destination>,
    mask: &Mask,
    secrets: Secrets,
) -> Result<Option<NewDestination>, Vec<Violation>> {
    let named = DESTINATIONS.iter().filter(|(field, _)| mask.names(field));
    let missing = named.clone().filter(|(_, kind)| given.map(kind_of) != Some(*kind));
    let missing: Vec<_> = missing
        .map(|(field, _)| {
            let description = "is required when update_mask names it";
            Violation::required(format!("channel.{field}"), description)
        })
        .collect();
    match (missing.is_empty(), named.count()) {
        (false, _) => Err(missing),
        (true, 0) => Ok(None),
        // A secret that is empty stays, and of these destinations it is all that there is.
        (true, _) => {
            let given = given.cloned().filter(says_where);
            given.map(|given| destination(Some(given), secrets)).transpose()
        }
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
        CreateChannel::new(request, "channel_id")
    }
}

impl CreateChannel {
    /// `id_field` is the path of the id in the call's request.
    fn new(request: v1::CreateChannelRequest, id_field: &str) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let channel_id = violations.check(match request.channel_id.as_str() {
            "" => Ok(None),
            made => ChannelId::made_by_caller(id_field, made).map(Some),
        });
        let channel = request.channel.unwrap_or_default();
        let patch = patch(&channel, &Mask::Everything, Secrets::AreRequired, &mut violations);
        let validate_only = request.validate_only;
        match (organization_id, channel_id, patch.complete()) {
            (Some(organization_id), Some(channel_id), Some(config)) => {
                Ok(CreateChannel { organization_id, channel_id, config, validate_only })
            }
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
            violations.check::<()>(Err(Violation::required("channel", description)));
            return Err(violations);
        };
        let channel_id = violations.check(id("channel.id", &channel.id));
        let validate_only = request.validate_only;
        let creation = request.allow_missing.then(|| {
            let create = v1::CreateChannelRequest {
                organization_id: request.organization_id,
                channel_id: channel.id.clone(),
                channel: Some(channel.clone()),
                validate_only,
                ..Default::default()
            };
            CreateChannel::new(create, "channel.id")
        });
        // An invalid mask has been reported. Without it, the other fields cannot be checked.
        let Some(mask) = mask else { return Err(violations) };
        let patch = patch(&channel, &mask, Secrets::MayStay, &mut violations);
        match (organization_id, channel_id) {
            (Some(organization_id), Some(channel_id)) if violations.is_empty() => {
                let etag = Some(channel.etag).filter(|etag| !etag.is_empty());
                Ok(UpdateChannel {
                    organization_id,
                    channel_id,
                    etag,
                    patch,
                    creation,
                    validate_only,
                })
            }
            _ => Err(violations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_can_change_each_field_of_the_configuration() {
        let plain = ChannelConfig::FIELDS.iter().filter(|name| **name != "destination");
        assert!(plain.eq(UPDATABLE.config), "{:?}", UPDATABLE.config);
    }
}

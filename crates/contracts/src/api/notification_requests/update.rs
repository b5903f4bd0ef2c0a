//! UpdateChannel and its field mask. AIP-134, AIP-161.

use keeptrusts_webhooks_domain::channel::check_endpoint_ids;
use keeptrusts_webhooks_domain::endpoint::check_name;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::notification::NotificationType;
use keeptrusts_webhooks_domain::violation::{Violation, WrongEntries};

use super::{CHANNEL_ENDPOINT_IDS, NewDestination, Secrets, destination, subscriptions};
use crate::api::Violations;
use crate::api::fields::id;
use crate::v1;

/// UpdateChannel. None: stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateChannel {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Which.
    pub channel_id: ChannelId,
    /// Only while this is its etag.
    pub etag: Option<String>,
    /// A label.
    pub name: Option<String>,
    /// Where it leads.
    pub destination: Option<NewDestination>,
    /// What it is told of; sorted, not empty.
    pub subscriptions: Option<Vec<NotificationType>>,
    /// Which endpoints it is told about, as they are given. Empty: all.
    pub endpoint_ids: Option<Vec<EndpointId>>,
}

impl TryFrom<v1::UpdateChannelRequest> for UpdateChannel {
    type Error = Violations;

    fn try_from(request: v1::UpdateChannelRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let mask = violations.check_all(Mask::of(&request));
        let Some(channel) = request.channel else {
            let description = "is required: its id says which one, the others are new values";
            violations.check::<()>(Err(Violation::new("channel", description)));
            return Err(violations);
        };
        let channel_id = violations.check(id("channel.id", &channel.id));
        // Without a mask, which has been reported, there is no saying what else was meant.
        let Some(mask) = mask else { return Err(violations) };

        let name = mask.name.then(|| check_name("channel.name", channel.name));
        let name = violations.check(name.transpose());
        let destination =
            mask.destination.then(|| destination(channel.destination, Secrets::MayStay));
        let destination = violations.check_all(destination.transpose());
        let subscriptions = mask.subscriptions.then(|| subscriptions(&channel.subscriptions));
        let subscriptions = violations.check_all(subscriptions.transpose());
        let endpoint_ids = mask
            .endpoint_ids
            .then(|| check_endpoint_ids(CHANNEL_ENDPOINT_IDS, &channel.endpoint_ids));
        let endpoint_ids = violations.check_all(endpoint_ids.transpose());

        match (organization_id, channel_id, name, destination, subscriptions, endpoint_ids) {
            (
                Some(organization_id),
                Some(channel_id),
                Some(name),
                Some(destination),
                Some(subscriptions),
                Some(endpoint_ids),
            ) => Ok(UpdateChannel {
                organization_id,
                channel_id,
                etag: (!channel.etag.is_empty()).then_some(channel.etag),
                name,
                destination,
                subscriptions,
                endpoint_ids,
            }),
            _ => Err(violations),
        }
    }
}

/// Which fields are to be replaced.
#[derive(Default)]
struct Mask {
    name: bool,
    destination: bool,
    subscriptions: bool,
    endpoint_ids: bool,
}

impl Mask {
    fn of(request: &v1::UpdateChannelRequest) -> Result<Mask, Vec<Violation>> {
        match &request.update_mask {
            Some(mask) if !mask.paths.is_empty() => Mask::named(&mask.paths),
            _ => Ok(Mask::implied(request.channel.as_ref())),
        }
    }

    fn named(paths: &[String]) -> Result<Mask, Vec<Violation>> {
        let mut mask = Mask::default();
        let mut wrong = WrongEntries::of("update_mask.paths");
        for (index, path) in paths.iter().enumerate() {
            match path.as_str() {
                "name" => mask.name = true,
                "destination" => mask.destination = true,
                "subscriptions" => mask.subscriptions = true,
                "endpoint_ids" => mask.endpoint_ids = true,
                "*" => {
                    let destination = mask.destination;
                    mask =
                        Mask { name: true, subscriptions: true, endpoint_ids: true, destination };
                }
                _ => wrong.push(index, || {
                    "cannot be updated; name, destination, subscriptions, endpoint_ids and * can"
                }),
            }
        }
        wrong.unless(mask)
    }

    /// No mask: whatever is not empty.
    fn implied(channel: Option<&v1::Channel>) -> Mask {
        channel.map_or_else(Mask::default, |channel| Mask {
            name: !channel.name.is_empty(),
            destination: channel.destination.is_some(),
            subscriptions: !channel.subscriptions.is_empty(),
            endpoint_ids: !channel.endpoint_ids.is_empty(),
        })
    }
}

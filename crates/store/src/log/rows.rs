//! Rows of the tables that are not entities of the domain.

use keeptrusts_webhooks_domain::endpoint::FailureStreak;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::pause::Pause;

/// An endpoint whose attempts have all failed since a time.
#[derive(Clone)]
pub(crate) struct FailingEndpoint {
    pub(crate) organization_id: OrganizationId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) failing: FailureStreak,
}

/// An endpoint whose receiver has asked for a pause.
#[derive(Clone)]
pub(crate) struct PausedEndpoint {
    pub(crate) organization_id: OrganizationId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) pause: Pause,
}

/// The incident of an endpoint at a channel's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointIncident {
    pub organization_id: OrganizationId,
    pub channel_id: ChannelId,
    pub endpoint_id: EndpointId,
    pub incident: Incident,
}

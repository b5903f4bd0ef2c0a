//! The checked requests of EndpointService.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use keeptrusts_webhooks_domain::endpoint::{EffectiveEndpointState, check_reason};
use keeptrusts_webhooks_domain::event_type::{EventType, UnknownEventType};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::limits::{DEFAULT_ROTATION_OVERLAP, MAX_ROTATION_OVERLAP};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{enums, id, optional_secret, optional_text};
use super::{Page, SortedPage, Violations};
use crate::time::duration_from_proto;
use crate::v1;

mod config;
mod preview;

pub use config::{CreateEndpoint, UpdateEndpoint};
pub use preview::PreviewPayload;

/// One endpoint of an organization: the request of GetEndpoint, EnableEndpoint and RevealSecret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRef {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
}

impl EndpointRef {
    pub(super) fn new(organization_id: &str, endpoint_id: &str) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(organization_id.parse());
        let endpoint_id = violations.check(id("endpoint_id", endpoint_id));
        match (organization_id, endpoint_id) {
            (Some(organization_id), Some(endpoint_id)) => {
                Ok(EndpointRef { organization_id, endpoint_id })
            }
            _ => Err(violations),
        }
    }
}

macro_rules! only_the_endpoint {
    ($($request:ident),*) => {
        $(impl TryFrom<v1::$request> for EndpointRef {
            type Error = Violations;

            fn try_from(request: v1::$request) -> Result<Self, Violations> {
                let v1::$request { organization_id, endpoint_id, .. } = request;
                EndpointRef::new(&organization_id, &endpoint_id)
            }
        })*
    };
}

only_the_endpoint!(GetEndpointRequest, EnableEndpointRequest, RevealSecretRequest);

/// ListEndpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEndpoints {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: SortedPage<EndpointId>,
    /// Only in one of these states. Empty: all.
    pub states: Vec<EffectiveEndpointState>,
    /// Only with this text in the name or the URL, regardless of ASCII case.
    pub search: Option<String>,
}

impl TryFrom<v1::ListEndpointsRequest> for ListEndpoints {
    type Error = Violations;

    fn try_from(request: v1::ListEndpointsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = SortedPage::of::<v1::Endpoint>(&request, &request.order_by, EndpointId::MAX);
        let page = violations.check_all(page);
        let states =
            violations.check_all(enums::<v1::endpoint::State, _>("states", &request.states));
        let search = violations.check(optional_text("search", request.search));
        match (organization_id, page, states, search) {
            (Some(organization_id), Some(page), Some(states), Some(search)) => {
                Ok(ListEndpoints { organization_id, page, states, search })
            }
            _ => Err(violations),
        }
    }
}

/// DisableEndpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisableEndpoint {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Why, for people to read; may be empty.
    pub reason: String,
}

impl TryFrom<v1::DisableEndpointRequest> for DisableEndpoint {
    type Error = Violations;

    fn try_from(request: v1::DisableEndpointRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_id = violations.check(id("endpoint_id", &request.endpoint_id));
        let reason = violations.check(check_reason("reason", request.reason));
        match (organization_id, endpoint_id, reason) {
            (Some(organization_id), Some(endpoint_id), Some(reason)) => {
                Ok(DisableEndpoint { organization_id, endpoint_id, reason })
            }
            _ => Err(violations),
        }
    }
}

/// DeleteEndpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEndpoint {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// If set, the request is refused unless this is the current etag.
    pub etag: Option<String>,
    /// Whether the request succeeds if there is no such endpoint.
    pub allow_missing: bool,
}

impl TryFrom<v1::DeleteEndpointRequest> for DeleteEndpoint {
    type Error = Violations;

    fn try_from(request: v1::DeleteEndpointRequest) -> Result<Self, Violations> {
        let EndpointRef { organization_id, endpoint_id } =
            EndpointRef::new(&request.organization_id, &request.endpoint_id)?;
        let etag = (!request.etag.is_empty()).then_some(request.etag);
        let allow_missing = request.allow_missing;
        Ok(DeleteEndpoint { organization_id, endpoint_id, etag, allow_missing })
    }
}

/// RotateSecret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateSecret {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The new secret. None: one is generated.
    pub secret: Option<Secret>,
    /// How long the old secret goes on signing. Zero: it stops at once.
    pub overlap: Duration,
}

impl TryFrom<v1::RotateSecretRequest> for RotateSecret {
    type Error = Violations;

    fn try_from(request: v1::RotateSecretRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_id = violations.check(id("endpoint_id", &request.endpoint_id));
        let secret = violations.check(optional_secret("secret", request.secret));
        let overlap = violations.check(overlap(request.overlap));
        match (organization_id, endpoint_id, secret, overlap) {
            (Some(organization_id), Some(endpoint_id), Some(secret), Some(overlap)) => {
                Ok(RotateSecret { organization_id, endpoint_id, secret, overlap })
            }
            _ => Err(violations),
        }
    }
}

fn overlap(overlap: Option<prost_types::Duration>) -> Result<Duration, Violation> {
    let Some(overlap) = overlap else { return Ok(DEFAULT_ROTATION_OVERLAP) };
    duration_from_proto(&overlap).filter(|overlap| *overlap <= MAX_ROTATION_OVERLAP).ok_or_else(
        || Violation::out_of_range("overlap", "must be from 0 to 30 days; absent means 24 hours"),
    )
}

/// ListEventTypes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEventTypes {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<EventTypeCursor>,
}

/// A place in the list of event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTypeCursor(Option<EventType>);

impl EventTypeCursor {
    /// Before the first type.
    pub const START: EventTypeCursor = EventTypeCursor(None);

    /// After a type.
    pub fn after(event_type: EventType) -> EventTypeCursor {
        EventTypeCursor(Some(event_type))
    }

    /// The types that follow.
    pub fn rest(self) -> &'static [EventType] {
        let last = EventType::ALL.iter().position(|event_type| Some(*event_type) == self.0);
        &EventType::ALL[last.map_or(0, |last| last + 1)..]
    }
}

impl fmt::Display for EventTypeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("", EventType::name))
    }
}

impl FromStr for EventTypeCursor {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        text.parse().map(EventTypeCursor::after)
    }
}

impl TryFrom<v1::ListEventTypesRequest> for ListEventTypes {
    type Error = Violations;

    fn try_from(request: v1::ListEventTypesRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = violations.check_all(Page::of(&request, EventTypeCursor::START));
        match (organization_id, page) {
            (Some(organization_id), Some(page)) => Ok(ListEventTypes { organization_id, page }),
            _ => Err(violations),
        }
    }
}

//! The checked requests of DispatchService.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::delivery::EffectiveDeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{
    enums, event_types, id, ids, interval, optional_id, optional_time, test_event_type,
};
use super::payload_format::previewed_payload_format;
use super::{Page, ResumePoint, View, Violations};
use crate::time::duration_from_proto;
use crate::v1;

/// How far back statistics go by default.
pub const DEFAULT_STATS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// How far back statistics go, at most.
pub const MAX_STATS_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// SendTest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendTest {
    /// The organization that owns the endpoint.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The type whose sample is sent.
    pub event_type: EventType,
}

impl TryFrom<v1::SendTestRequest> for SendTest {
    type Error = Violations;

    fn try_from(request: v1::SendTestRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_id = violations.check(id("endpoint_id", &request.endpoint_id));
        let event_type = violations.check(test_event_type(&request.event_type));
        match (organization_id, endpoint_id, event_type) {
            (Some(organization_id), Some(endpoint_id), Some(event_type)) => {
                Ok(SendTest { organization_id, endpoint_id, event_type })
            }
            _ => Err(violations),
        }
    }
}

/// One delivery of an organization: the request of RetryDelivery and CancelDelivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRef {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The delivery.
    pub delivery_id: DeliveryId,
}

macro_rules! only_the_delivery {
    ($($request:ident),*) => {
        $(impl TryFrom<v1::$request> for DeliveryRef {
            type Error = Violations;

            fn try_from(request: v1::$request) -> Result<Self, Violations> {
                let mut violations = Violations::default();
                let organization_id = violations.check(request.organization_id.parse());
                let delivery_id = violations.check(id("delivery_id", &request.delivery_id));
                match (organization_id, delivery_id) {
                    (Some(organization_id), Some(delivery_id)) => {
                        Ok(DeliveryRef { organization_id, delivery_id })
                    }
                    _ => Err(violations),
                }
            }
        })*
    };
}

only_the_delivery!(RetryDeliveryRequest, CancelDeliveryRequest);

/// GetDelivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetDelivery {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// How much of it.
    pub view: View,
}

impl TryFrom<v1::GetDeliveryRequest> for GetDelivery {
    type Error = Violations;

    fn try_from(request: v1::GetDeliveryRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let delivery_id = violations.check(id("delivery_id", &request.delivery_id));
        let view = violations.check(View::of::<v1::DeliveryView>(request.view, View::Full));
        match (organization_id, delivery_id, view) {
            (Some(organization_id), Some(delivery_id), Some(view)) => {
                Ok(GetDelivery { organization_id, delivery_id, view })
            }
            _ => Err(violations),
        }
    }
}

/// GetAttempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetAttempt {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// How much of it.
    pub view: View,
}

impl TryFrom<v1::GetAttemptRequest> for GetAttempt {
    type Error = Violations;

    fn try_from(request: v1::GetAttemptRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let attempt_id = violations.check(id("attempt_id", &request.attempt_id));
        let view = violations.check(View::of::<v1::AttemptView>(request.view, View::Full));
        match (organization_id, attempt_id, view) {
            (Some(organization_id), Some(attempt_id), Some(view)) => {
                Ok(GetAttempt { organization_id, attempt_id, view })
            }
            _ => Err(violations),
        }
    }
}

/// ListDeliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDeliveries {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<DeliveryId>,
    /// Only to one of these endpoints. Empty: all; so it is with the other lists.
    pub endpoint_ids: Vec<EndpointId>,
    /// Only of this event.
    pub event_id: Option<EventId>,
    /// Only of one of these types.
    pub event_types: Vec<EventType>,
    /// Only in one of these states.
    pub states: Vec<EffectiveDeliveryState>,
    /// Only deliveries that were scheduled then or later.
    pub start_time: Option<Timestamp>,
    /// Only deliveries that were scheduled before.
    pub end_time: Option<Timestamp>,
    /// How much of each.
    pub view: View,
}

impl TryFrom<v1::ListDeliveriesRequest> for ListDeliveries {
    type Error = Violations;

    fn try_from(request: v1::ListDeliveriesRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = violations.check_all(Page::of(&request, DeliveryId::MAX));
        let endpoint_ids = violations.check_all(ids("endpoint_ids", &request.endpoint_ids));
        let event_id = violations.check(optional_id("event_id", &request.event_id));
        let event_types = violations.check_all(event_types(&request.event_types));
        let states =
            violations.check_all(enums::<v1::delivery::State, _>("states", &request.states));
        let interval = violations.check_all(interval("", request.start_time, request.end_time));
        let view = violations.check(View::of::<v1::DeliveryView>(request.view, View::OF_LISTS));
        match (organization_id, page, endpoint_ids, event_id, event_types, states, interval, view) {
            (
                Some(organization_id),
                Some(page),
                Some(endpoint_ids),
                Some(event_id),
                Some(event_types),
                Some(states),
                Some((start_time, end_time)),
                Some(view),
            ) => Ok(ListDeliveries {
                organization_id,
                page,
                endpoint_ids,
                event_id,
                event_types,
                states,
                start_time,
                end_time,
                view,
            }),
            _ => Err(violations),
        }
    }
}

/// ListAttempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAttempts {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<AttemptId>,
    /// Only to one of these endpoints. Empty: all; so it is with the other lists.
    pub endpoint_ids: Vec<EndpointId>,
    /// Only of this delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Only of one of these types.
    pub event_types: Vec<EventType>,
    /// Only with one of these outcomes.
    pub outcomes: Vec<AttemptOutcome>,
    /// Only attempts that began then or later.
    pub start_time: Option<Timestamp>,
    /// Only attempts that began before.
    pub end_time: Option<Timestamp>,
    /// How much of each.
    pub view: View,
}

impl TryFrom<v1::ListAttemptsRequest> for ListAttempts {
    type Error = Violations;

    fn try_from(request: v1::ListAttemptsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = violations.check_all(Page::of(&request, AttemptId::MAX));
        let endpoint_ids = violations.check_all(ids("endpoint_ids", &request.endpoint_ids));
        let delivery_id = violations.check(optional_id("delivery_id", &request.delivery_id));
        let event_types = violations.check_all(event_types(&request.event_types));
        let outcomes =
            violations.check_all(enums::<v1::attempt::Outcome, _>("outcomes", &request.outcomes));
        let interval = violations.check_all(interval("", request.start_time, request.end_time));
        let view = violations.check(View::of::<v1::AttemptView>(request.view, View::OF_LISTS));
        match (
            organization_id,
            page,
            endpoint_ids,
            delivery_id,
            event_types,
            outcomes,
            interval,
            view,
        ) {
            (
                Some(organization_id),
                Some(page),
                Some(endpoint_ids),
                Some(delivery_id),
                Some(event_types),
                Some(outcomes),
                Some((start_time, end_time)),
                Some(view),
            ) => Ok(ListAttempts {
                organization_id,
                page,
                endpoint_ids,
                delivery_id,
                event_types,
                outcomes,
                start_time,
                end_time,
                view,
            }),
            _ => Err(violations),
        }
    }
}

/// WatchDeliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchDeliveries {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Only to one of these endpoints. Empty: all.
    pub endpoint_ids: Vec<EndpointId>,
    /// Where to resume. None: the watch begins now.
    pub resume: Option<ResumePoint>,
}

impl TryFrom<v1::WatchDeliveriesRequest> for WatchDeliveries {
    type Error = Violations;

    fn try_from(request: v1::WatchDeliveriesRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_ids = violations.check_all(ids("endpoint_ids", &request.endpoint_ids));
        let resume = violations.check(resume_point(&request.resume_token));
        match (organization_id, endpoint_ids, resume) {
            (Some(organization_id), Some(endpoint_ids), Some(resume)) => {
                Ok(WatchDeliveries { organization_id, endpoint_ids, resume })
            }
            _ => Err(violations),
        }
    }
}

/// WatchEvents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvents {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Only events of one of these types. Empty: all.
    pub event_types: Vec<EventType>,
    /// The format that events are rendered in. A template in it has not been compiled yet.
    pub payload_format: PayloadFormat<()>,
    /// Where to resume. None: the watch begins now.
    pub resume: Option<ResumePoint>,
}

impl TryFrom<v1::WatchEventsRequest> for WatchEvents {
    type Error = Violations;

    fn try_from(request: v1::WatchEventsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let event_types = violations.check_all(event_types(&request.event_types));
        let payload_format = violations
            .check_all(previewed_payload_format(request.payload_format, request.payload_template));
        let resume = violations.check(resume_point(&request.resume_token));
        match (organization_id, event_types, payload_format, resume) {
            (Some(organization_id), Some(event_types), Some(payload_format), Some(resume)) => {
                Ok(WatchEvents { organization_id, event_types, payload_format, resume })
            }
            _ => Err(violations),
        }
    }
}

fn resume_point(token: &str) -> Result<Option<ResumePoint>, Violation> {
    match token {
        "" => Ok(None),
        token => ResumePoint::of_token(token).map(Some).ok_or_else(invalid_resume_token),
    }
}

/// The violation of a resume token that is not from a watch of the organization.
pub fn invalid_resume_token() -> Violation {
    let description = "is not from a watch of this organization: send the last resume_token as it was, or nothing to begin now";
    Violation::invalid_format("resume_token", description)
}

/// GetEndpointStats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetEndpointStats {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The number of hours, the current one included: 1 to 720.
    pub hours: u32,
}

impl TryFrom<v1::GetEndpointStatsRequest> for GetEndpointStats {
    type Error = Violations;

    fn try_from(request: v1::GetEndpointStatsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let endpoint_id = violations.check(id("endpoint_id", &request.endpoint_id));
        let hours = violations.check(hours(request.window));
        match (organization_id, endpoint_id, hours) {
            (Some(organization_id), Some(endpoint_id), Some(hours)) => {
                Ok(GetEndpointStats { organization_id, endpoint_id, hours })
            }
            _ => Err(violations),
        }
    }
}

/// GetHealthSummary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetHealthSummary {
    /// The organization.
    pub organization_id: OrganizationId,
    /// A time within the week. None: the last one that is over.
    pub time: Option<Timestamp>,
}

impl TryFrom<v1::GetHealthSummaryRequest> for GetHealthSummary {
    type Error = Violations;

    fn try_from(request: v1::GetHealthSummaryRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let time = violations.check(optional_time("time", request.time));
        match (organization_id, time) {
            (Some(organization_id), Some(time)) => Ok(GetHealthSummary { organization_id, time }),
            _ => Err(violations),
        }
    }
}

/// The window in whole hours, rounded up.
fn hours(window: Option<prost_types::Duration>) -> Result<u32, Violation> {
    let window = match window {
        None => Some(DEFAULT_STATS_WINDOW),
        Some(window) => {
            duration_from_proto(&window).filter(|window| (HOUR..=MAX_STATS_WINDOW).contains(window))
        }
    };
    let Some(window) = window else {
        let description = "must be from 1 hour to 30 days; absent means 24 hours";
        return Err(Violation::out_of_range("window", description));
    };
    // At most 720, so that it fits.
    Ok(window.as_nanos().div_ceil(HOUR.as_nanos()) as u32)
}

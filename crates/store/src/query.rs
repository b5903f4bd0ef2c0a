//! What the tables can be asked. Lists are newest first and continue before an id.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Outcome;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointStatus;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};

/// Which endpoints. Deleted ones never.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter {
    /// Of this status.
    pub status: Option<EndpointStatus>,
    /// With this text in the name or the URL, regardless of ASCII case.
    pub search: Option<String>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Accepted then.
    pub accepted: Interval,
    /// Published by this actor.
    pub publisher: Option<String>,
}

/// Which deliveries.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// To this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Of this event.
    pub event_id: Option<EventId>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Scheduled then.
    pub scheduled: Interval,
}

/// Which attempts.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// To this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Of this delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Begun then.
    pub begun: Interval,
}

/// Which records of the audit trail.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this action.
    pub action: Option<AuditAction>,
    /// By this actor.
    pub actor: Option<String>,
    /// About this endpoint, or about a delivery to it.
    pub endpoint_id: Option<EndpointId>,
    /// Recorded then.
    pub recorded: Interval,
}

/// Which keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyFilter {
    /// Sessions only, or API keys only.
    pub sessions: Option<bool>,
}

/// A part of time; an absent end is open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interval {
    /// From then on.
    pub start: Option<Timestamp>,
    /// Before then.
    pub end: Option<Timestamp>,
}

impl Interval {
    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

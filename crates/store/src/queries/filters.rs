//! Which rows somebody wants, and how many are looked at for them.

use jiff::SignedDuration;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointStatus;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, EventId};
use ulid::Ulid;

use crate::limits::ROWS_LOOKED_AT;

/// Clocks that differ by less lose nothing: ids have the time of the process that made them, and
/// the times that count are others' (the database's, for one).
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// A range of ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ulids {
    /// Nothing is below.
    pub(crate) first: Ulid,
    /// Nothing is above.
    pub(crate) last: Ulid,
}

impl Ulids {
    /// What a list begins before, if it was to begin before `before`.
    pub(crate) fn before(&self, before: Ulid) -> Ulid {
        before.min(Ulid(self.last.0.saturating_add(1)))
    }
}

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
    pub outcome: Option<AttemptOutcome>,
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

impl EventFilter {
    /// How many rows are looked at for up to `limit` that match. None: all of them do.
    pub(crate) fn looks_at(&self, limit: usize) -> Option<usize> {
        let EventFilter { event_type, accepted, publisher } = self;
        let passes_over = event_type.is_some() || publisher.is_some() || accepted.is_bounded();
        passes_over.then_some(limit.max(ROWS_LOOKED_AT))
    }
}

impl DeliveryFilter {
    /// How many rows of the index are looked at for up to `limit` that match. None: as many as are
    /// found, or all that an event has, which are few.
    pub(crate) fn looks_at(&self, limit: usize) -> Option<usize> {
        let DeliveryFilter { endpoint_id, event_id, event_type, state, scheduled } = self;
        let passes_over = event_type.is_some() || state.is_some() || scheduled.is_bounded();
        looks_at(event_id.is_some(), passes_over, endpoint_id.is_some(), limit)
    }
}

impl AttemptFilter {
    /// How many rows of the index are looked at for up to `limit` that match. None: as many as are
    /// found, or all that a delivery has, which are few.
    pub(crate) fn looks_at(&self, limit: usize) -> Option<usize> {
        let AttemptFilter { endpoint_id, delivery_id, event_type, outcome, begun } = self;
        let passes_over = event_type.is_some() || outcome.is_some() || begun.is_bounded();
        looks_at(delivery_id.is_some(), passes_over, endpoint_id.is_some(), limit)
    }
}

impl AuditFilter {
    /// How many records of the trail are looked at for up to `limit` that match. None: all of them
    /// do.
    pub(crate) fn looks_at(&self, limit: usize) -> Option<usize> {
        let AuditFilter { action, actor, endpoint_id, recorded } = self;
        let passes_over =
            action.is_some() || actor.is_some() || endpoint_id.is_some() || recorded.is_bounded();
        passes_over.then_some(limit.max(ROWS_LOOKED_AT))
    }
}

/// An endpoint's rows are all of one organization. If it is another one's, nothing matches, which
/// has to be seen without looking at them all.
fn looks_at(is_narrow: bool, passes_over: bool, of_endpoint: bool, limit: usize) -> Option<usize> {
    match (is_narrow, passes_over, of_endpoint) {
        (true, ..) | (false, false, false) => None,
        (false, true, _) => Some(limit.max(ROWS_LOOKED_AT)),
        (false, false, true) => Some(limit.max(1)),
    }
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
    fn is_bounded(&self) -> bool {
        self.start.is_some() || self.end.is_some()
    }

    /// The ids between which everything lies that happened then, generously: so a primary key does
    /// for a range of time, without an index of its own.
    pub(crate) fn ulids(&self) -> Ulids {
        let millis = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
        let start = self.start.and_then(|time| time.checked_sub(CLOCKS_APART).ok());
        let end = self.end.and_then(|time| time.checked_add(CLOCKS_APART).ok());
        Ulids {
            first: Ulid::from_parts(start.map_or(0, millis), 0),
            last: end.map_or(Ulid(u128::MAX), |end| Ulid::from_parts(millis(end), u128::MAX)),
        }
    }

    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

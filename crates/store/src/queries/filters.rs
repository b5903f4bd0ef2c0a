//! The filters of lists, and how many rows are examined for each.

use keeptrusts_webhooks_domain::attempt::AttemptOutcome;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::endpoint::EndpointState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{ChannelId, DeliveryId, EndpointId, EventId};
use keeptrusts_webhooks_domain::notification::NotificationState;
use keeptrusts_webhooks_domain::replay::ReplayState;

use super::interval::Interval;
use super::state_filter::StateFilter;
use crate::limits::ROWS_EXAMINED;

/// The values that a filter lets through. None: all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyOf<T>(Vec<T>);

impl<T> Default for AnyOf<T> {
    fn default() -> AnyOf<T> {
        AnyOf(Vec::new())
    }
}

impl<T> From<Vec<T>> for AnyOf<T> {
    fn from(values: Vec<T>) -> AnyOf<T> {
        AnyOf(values)
    }
}

impl<T> From<Option<T>> for AnyOf<T> {
    fn from(value: Option<T>) -> AnyOf<T> {
        AnyOf(value.into_iter().collect())
    }
}

impl<T> AnyOf<T> {
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, if it is the only one: then an index by it is walked.
    pub(crate) fn only(&self) -> Option<&T> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether a value passes the filter.
    #[cfg(test)]
    pub(crate) fn admits(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        self.is_all() || self.0.contains(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// Filters endpoints. Deleted ones are never listed.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter {
    pub states: StateFilter<EndpointState>,
    /// Text that the name or the URL contains, regardless of ASCII case.
    pub search: Option<String>,
}

/// Filters events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub event_types: AnyOf<EventType>,
    /// When they were accepted.
    pub accepted: Interval,
    /// The actor that published them.
    pub publisher: Option<String>,
}

/// Filters deliveries.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub endpoint_ids: AnyOf<EndpointId>,
    pub event_id: Option<EventId>,
    pub event_types: AnyOf<EventType>,
    pub states: StateFilter<DeliveryState>,
    /// When they were scheduled.
    pub scheduled: Interval,
}

/// Filters attempts.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    pub endpoint_ids: AnyOf<EndpointId>,
    pub delivery_id: Option<DeliveryId>,
    pub event_types: AnyOf<EventType>,
    pub outcomes: AnyOf<AttemptOutcome>,
    /// When they began.
    pub begun: Interval,
}

/// Filters records of the audit trail.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actions: AnyOf<AuditAction>,
    pub actor: Option<String>,
    /// The endpoints that they are about, or that the deliveries are to.
    pub endpoint_ids: AnyOf<EndpointId>,
    /// When they were recorded.
    pub recorded: Interval,
}

/// Filters replays.
#[derive(Debug, Clone, Default)]
pub struct ReplayFilter {
    pub endpoint_ids: AnyOf<EndpointId>,
    pub states: AnyOf<ReplayState>,
}

/// Filters notifications.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    pub channel_ids: AnyOf<ChannelId>,
    pub states: AnyOf<NotificationState>,
}

/// Filters keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyFilter {
    /// True: sessions only; false: API keys only.
    pub sessions: Option<bool>,
}

impl EventFilter {
    /// How many rows are examined to find up to `limit` that match. None: all match.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let EventFilter { event_types, accepted, publisher } = self;
        let passes_over = !event_types.is_all() || publisher.is_some() || accepted.is_bounded();
        passes_over.then_some(limit.max(ROWS_EXAMINED))
    }
}

impl DeliveryFilter {
    /// How many rows of the index are examined to find up to `limit` that match. None: all match, or
    /// they are those of one event, which are few.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let DeliveryFilter { endpoint_ids, event_id, event_types, states, scheduled } = self;
        let passes_over = !event_types.is_all() || !states.is_all() || scheduled.is_bounded();
        examined_rows(event_id.is_some(), passes_over, endpoint_ids, limit)
    }
}

impl AttemptFilter {
    /// How many rows of the index are examined to find up to `limit` that match. None: all match, or
    /// they are those of one delivery, which are few.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let AttemptFilter { endpoint_ids, delivery_id, event_types, outcomes, begun } = self;
        let passes_over = !event_types.is_all() || !outcomes.is_all() || begun.is_bounded();
        examined_rows(delivery_id.is_some(), passes_over, endpoint_ids, limit)
    }
}

impl AuditFilter {
    /// How many records of the trail are examined to find up to `limit` that match. None: all match.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let AuditFilter { actions, actor, endpoint_ids, recorded } = self;
        let passes_over =
            !actions.is_all() || actor.is_some() || !endpoint_ids.is_all() || recorded.is_bounded();
        passes_over.then_some(limit.max(ROWS_EXAMINED))
    }
}

impl ReplayFilter {
    /// How many replays are examined to find up to `limit` that match. None: all match.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let ReplayFilter { endpoint_ids, states } = self;
        let passes_over = !endpoint_ids.is_all() || !states.is_all();
        passes_over.then_some(limit.max(ROWS_EXAMINED))
    }
}

impl NotificationFilter {
    /// How many rows of the index are examined to find up to `limit` that match. None: all match.
    pub(crate) fn examined_rows(&self, limit: usize) -> Option<usize> {
        let NotificationFilter { channel_ids, states } = self;
        examined_rows(false, !states.is_all(), channel_ids, limit)
    }
}

/// All rows of an owner, an endpoint or a channel, belong to one organization. If that is another one,
/// nothing matches, and examining some of them has to show it. Those of several owners lie among all
/// others.
fn examined_rows<Owner>(
    is_narrow: bool,
    passes_over: bool,
    owners: &AnyOf<Owner>,
    limit: usize,
) -> Option<usize> {
    let of_one = owners.only().is_some();
    let of_several = !owners.is_all() && !of_one;
    match (is_narrow, passes_over || of_several, of_one) {
        (true, ..) | (false, false, false) => None,
        (false, true, _) => Some(limit.max(ROWS_EXAMINED)),
        (false, false, true) => Some(limit.max(1)),
    }
}

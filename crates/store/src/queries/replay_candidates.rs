//! The candidates of a replay: events that it covers, with the state of their delivery.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EventId};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use keeptrusts_webhooks_domain::trace::TraceContext;
use ulid::Ulid;

use super::interval::{Interval, Ulids};

/// An event that a replay covers, and its delivery to the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the replay's order.
    pub cursor: ReplayCursor,
    pub event_id: EventId,
    pub event_type: EventType,
    /// When it happened; always known of a candidate.
    pub event_time: Option<Timestamp>,
    /// The trace of the request that published it.
    pub trace: Option<TraceContext>,
    /// Its delivery to the endpoint. Of several, the first in this order: waiting, delivered, failed,
    /// cancelled; and of those the newest.
    pub delivery: Option<CandidateDelivery>,
    /// Whether its body still exists.
    pub is_kept: bool,
}

/// The state of a candidate's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateDelivery {
    pub id: DeliveryId,
    pub state: DeliveryState,
    pub version: Version,
}

/// A page of candidates behind a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatePage {
    /// In the order of their cursors.
    pub candidates: Vec<Candidate>,
    /// The last row that was examined, candidate or not. None: nothing is left.
    pub next: Option<ReplayCursor>,
}

/// The rank of a delivery among those of its event: the least one is the candidate's.
pub(crate) fn rank(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Scheduled | DeliveryState::Retrying => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Failed => 2,
        DeliveryState::Cancelled => 3,
    }
}

/// [`rank`] in SQL.
pub(crate) const RANK: &str = "CASE candidate.state
    WHEN 'scheduled' THEN 0 WHEN 'retrying' THEN 0
    WHEN 'delivered' THEN 1 WHEN 'failed' THEN 2 ELSE 3 END";

impl Ulids {
    /// The ids of all events and attempts that a selection may cover.
    pub(crate) fn of(selection: &ReplaySelection) -> Ulids {
        Interval { start: selection.start_time, end: selection.end_time }.ulids()
    }

    /// The id to continue after, for events, when all up to `after` were examined.
    pub(crate) fn events_after(&self, after: ReplayCursor) -> EventId {
        let least = EventId::new(Ulid(self.first.0.saturating_sub(1)));
        match after {
            ReplayCursor::Event(id) => id.max(least),
            _ => least,
        }
    }

    /// The id to continue after, for attempts.
    pub(crate) fn attempts_after(&self, after: ReplayCursor) -> AttemptId {
        let least = AttemptId::new(Ulid(self.first.0.saturating_sub(1)));
        match after {
            ReplayCursor::Attempt(id) => id.max(least),
            _ => least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_and_rust_prefer_the_same_delivery() {
        for (state, word) in DeliveryState::ALL.iter().map(|state| (*state, state.name())) {
            let expected = match RANK.split_once(&format!("'{word}' THEN ")) {
                Some((_, rest)) => rest[..1].parse().expect("a digit"),
                None => 3,
            };
            assert_eq!(rank(state), expected, "{word}");
        }
    }
}

//! What a replay finds in the tables.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EventId};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use keeptrusts_webhooks_domain::trace::TraceContext;
use ulid::Ulid;

use super::filters::{Interval, Ulids};

/// An event that a replay is about, and how it stands with the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in what the replay goes through.
    pub cursor: ReplayCursor,
    /// The event.
    pub event_id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// When it happened; always known of a candidate.
    pub event_time: Option<Timestamp>,
    /// Where its acceptance hangs in a trace.
    pub trace: Option<TraceContext>,
    /// Its delivery to the endpoint. If it has several, one that is on its way, or else one that
    /// was delivered, has failed, was cancelled, in this order; of several such the newest.
    pub delivery: Option<CandidateDelivery>,
    /// Whether its body is kept.
    pub is_kept: bool,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// How far it has come.
    pub state: DeliveryState,
    /// How many records its stream has.
    pub version: Version,
}

/// What was found behind a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatePage {
    /// In order.
    pub candidates: Vec<Candidate>,
    /// What was looked at ends here, whether a candidate or not. None: nothing comes after it.
    pub next: Option<ReplayCursor>,
}

/// Which delivery of an event speaks for all of them: the least.
pub(crate) fn rank(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Scheduled | DeliveryState::Retrying => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Failed => 2,
        DeliveryState::Cancelled => 3,
    }
}

/// The same in SQL.
pub(crate) const RANK: &str = "CASE candidate.state
    WHEN 'scheduled' THEN 0 WHEN 'retrying' THEN 0
    WHEN 'delivered' THEN 1 WHEN 'failed' THEN 2 ELSE 3 END";

impl Ulids {
    /// Between them lies all that a replay is about.
    pub(crate) fn of(selection: &ReplaySelection) -> Ulids {
        Interval { start: selection.start_time, end: selection.end_time }.ulids()
    }

    /// Where to begin if all up to `after` was looked at.
    pub(crate) fn events_after(&self, after: ReplayCursor) -> EventId {
        let least = EventId::new(Ulid(self.first.0.saturating_sub(1)));
        match after {
            ReplayCursor::Event(id) => id.max(least),
            _ => least,
        }
    }

    /// The same for attempts.
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

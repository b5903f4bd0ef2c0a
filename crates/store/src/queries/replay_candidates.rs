//! What a replay finds in the tables.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::DeliveryState;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EventId};
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplaySelection};
use keeptrusts_webhooks_domain::trace::TraceContext;
use ulid::Ulid;

use crate::error::StoreError;
use crate::queries::rows::CandidateRow;
use crate::queries::{Interval, Ulids};
use crate::tables::ReadableRow;

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

impl CandidatePage {
    /// A page of everything that was looked at, at most `limit`.
    pub(crate) fn of(rows: Vec<CandidateRow>, limit: usize) -> Result<CandidatePage, StoreError> {
        let last = rows.last().filter(|_| rows.len() >= limit);
        let next = last.map(CandidateRow::cursor).transpose()?;
        let wanted = rows.into_iter().filter(|row| row.wanted);
        let candidates = wanted.map(CandidateRow::value).collect::<Result<_, _>>()?;
        Ok(CandidatePage { candidates, next })
    }
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

/// Where an acceptance hangs in its trace, from its record's metadata.
pub(crate) fn trace_of(metadata: Option<&[u8]>) -> Result<Option<TraceContext>, StoreError> {
    let Some(metadata) = metadata else { return Ok(None) };
    let decoded = Metadata::decode(metadata);
    Ok(decoded.map_err(|error| StoreError::Unreadable(format!("metadata: {error}")))?.trace)
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

//! The candidates of a replay, found in the simplest way: the reference for the databases.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};

use super::ShardData;
use crate::log::operation::BodyId;
use crate::queries::replay_candidates::{Candidate, CandidateDelivery, CandidatePage, rank};

pub(super) fn candidates(
    data: &ShardData,
    now: Timestamp,
    organization: &OrganizationId,
    (selection, before): (&ReplaySelection, Position),
    after: ReplayCursor,
    limit: usize,
) -> CandidatePage {
    let look = Look { data, now, organization, selection, before };
    let mut looked_at: Vec<(ReplayCursor, Option<Candidate>)> = match selection.scope {
        ReplayScope::Missed => look.missed(after),
        ReplayScope::Failed => look.failed(after),
        ReplayScope::All => look.all(after),
    };
    looked_at.truncate(limit);
    let next = looked_at.last().filter(|_| looked_at.len() >= limit).map(|(cursor, _)| *cursor);
    let candidates = looked_at.into_iter().filter_map(|(_, candidate)| candidate).collect();
    CandidatePage { candidates, next }
}

struct Look<'a> {
    data: &'a ShardData,
    now: Timestamp,
    organization: &'a OrganizationId,
    selection: &'a ReplaySelection,
    before: Position,
}

impl Look<'_> {
    fn missed(&self, after: ReplayCursor) -> Vec<(ReplayCursor, Option<Candidate>)> {
        let rows = self.data.tables.missed.iter().filter(|row| {
            row.endpoint_id == self.selection.endpoint_id
                && row.organization_id == *self.organization
        });
        let mut rows: Vec<_> =
            rows.map(|row| (ReplayCursor::Missed(row.position), row.event_id)).collect();
        rows.sort_by_key(|(cursor, _)| *cursor);
        let rows = rows.into_iter().filter(|(cursor, _)| *cursor > after);
        rows.map(|(cursor, event_id)| (cursor, self.of_event(cursor, event_id))).collect()
    }

    fn all(&self, after: ReplayCursor) -> Vec<(ReplayCursor, Option<Candidate>)> {
        let events = self.data.tables.events.values();
        let ours = events.filter(|event| event.organization_id == *self.organization);
        let cursors = ours.map(|event| (ReplayCursor::Event(event.id), event.id));
        let rows = cursors.filter(|(cursor, _)| *cursor > after);
        rows.map(|(cursor, event_id)| (cursor, self.of_event(cursor, event_id))).collect()
    }

    fn failed(&self, after: ReplayCursor) -> Vec<(ReplayCursor, Option<Candidate>)> {
        let attempts = self.data.tables.attempts.values().filter(|attempt| {
            attempt.details.endpoint_id == self.selection.endpoint_id
                && attempt.organization_id == *self.organization
        });
        let cursors = attempts.map(|row| (ReplayCursor::Attempt(row.details.id), row));
        let rows = cursors.filter(|(cursor, _)| *cursor > after);
        rows.map(|(cursor, attempt)| (cursor, self.of_attempt(cursor, attempt))).collect()
    }

    /// An event that was accepted in the selection's time.
    fn of_event(&self, cursor: ReplayCursor, event_id: EventId) -> Option<Candidate> {
        let event = self.covered(event_id)?;
        if !self.selection.covers_time(event.create_time) {
            return None;
        }
        let deliveries = self.data.tables.deliveries.values().filter(|delivery| {
            delivery.event_id == event_id && delivery.endpoint_id == self.selection.endpoint_id
        });
        let best = deliveries.min_by_key(|row| (rank(row.state), std::cmp::Reverse(row.id)));
        Some(self.candidate(cursor, event, best.map(|delivery| delivery.id)))
    }

    /// The last attempt of a delivery, which failed and began in the selection's time.
    fn of_attempt(&self, cursor: ReplayCursor, attempt: &Attempt) -> Option<Candidate> {
        let details = &attempt.details;
        let delivery = self.data.tables.deliveries.get(&attempt.delivery_id)?;
        let is_wanted = attempt.outcome == AttemptOutcome::Failed
            && details.trigger != Trigger::Test
            && details.number == delivery.attempt_count
            && self.selection.covers_time(details.start_time);
        let event = self.covered(details.event_id)?;
        is_wanted.then(|| self.candidate(cursor, event, Some(delivery.id)))
    }

    fn covered(&self, event_id: EventId) -> Option<&Event> {
        let event = self.data.tables.events.get(&event_id)?;
        let is_covered = event.position < self.before && self.selection.covers_event(event);
        is_covered.then_some(event)
    }

    fn candidate(
        &self,
        cursor: ReplayCursor,
        event: &Event,
        delivery: Option<DeliveryId>,
    ) -> Candidate {
        let delivery = delivery.and_then(|id| self.data.tables.deliveries.get(&id));
        let record = &self.data.records[event.position.0 as usize - 1];
        let body = self.data.bodies.get(&BodyId::Event(event.id));
        Candidate {
            cursor,
            event_id: event.id,
            event_type: event.event_type,
            event_time: Some(event.event_time),
            trace: record.metadata.trace.clone(),
            delivery: delivery.map(|row| CandidateDelivery {
                id: row.id,
                state: row.state,
                version: row.version,
            }),
            is_kept: body.is_some_and(|body| body.expire_time > self.now),
        }
    }
}

//! Replays, and what they find.

use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::{Postgres, QueryBuilder};

use super::pool::Pool;
use super::reads::rows;
use super::session::fetch;
use super::write::column;
use crate::error::StoreError;
use crate::queries::filters::Ulids;
use crate::queries::replay_candidates::{CandidatePage, RANK};
use crate::sql::candidates::CandidateRow;
use crate::tables::micros;

/// What is looked for.
pub(super) struct Search<'a> {
    pub(super) shard: Shard,
    pub(super) organization: &'a OrganizationId,
    pub(super) selection: &'a ReplaySelection,
    /// Only events that were accepted below it.
    pub(super) before: Position,
    pub(super) after: ReplayCursor,
    pub(super) limit: usize,
}

pub(super) async fn candidates(
    readers: &Pool,
    search: &Search<'_>,
) -> Result<CandidatePage, StoreError> {
    let mut query = search.sql();
    let found = fetch::<CandidateRow>(readers, query.build_query_as()).await?;
    CandidatePage::of(found, search.limit)
}

impl Search<'_> {
    /// First so many rows of what the scope goes through (`seen`), whether wanted or not, so that
    /// the statement takes no longer the less is found; then for each what else must be known.
    /// LIMIT keeps the planner from turning the look-ups around: see [`super::load`].
    fn sql(&self) -> QueryBuilder<Postgres> {
        let Search { organization, selection, .. } = self;
        let shard = i32::from(self.shard.0);
        let mut query = QueryBuilder::new("WITH seen AS MATERIALIZED (");
        self.push_seen(&mut query);
        query.push(
            ")
             SELECT seen.cursor, seen.event_id, event.event_type, event.event_time,
                    record.metadata, delivery.delivery_id, delivery.state AS delivery_state,
                    delivery.version AS delivery_version,
                    event.event_id IS NOT NULL AND body.id IS NOT NULL AS kept,
                    event.event_id IS NOT NULL",
        );
        if selection.scope == ReplayScope::Failed {
            query.push(" AND delivery.attempt_count IS NOT DISTINCT FROM seen.number");
        }
        query.push(
            " AS wanted
             FROM seen
             LEFT JOIN LATERAL (
                 SELECT event_id, event_type, event_time, position
                 FROM events
                 WHERE seen.fits AND event_id = seen.event_id AND shard = ",
        );
        query.push_bind(shard);
        query.push(" AND organization_id = ").push_bind(organization.as_str());
        query.push(" AND position < ").push_bind(self.before.0);
        query.push(" AND event_type <> 'webhook.test'");
        if let Some(bound) = selection.start_event {
            query.push(" AND position >= ").push_bind(bound.position.0);
        }
        if let Some(bound) = selection.end_event {
            query.push(" AND position <= ").push_bind(bound.position.0);
        }
        if selection.scope != ReplayScope::Failed {
            push_within(&mut query, "create_time", selection);
        }
        if !selection.event_types.is_empty() {
            let names = column(&selection.event_types, |event_type| event_type.name());
            query.push(" AND event_type = ANY (").push_bind(names).push(")");
        }
        query.push(
            " LIMIT 1
             ) AS event ON true
             LEFT JOIN LATERAL (
                 SELECT metadata FROM records WHERE position = event.position AND shard = ",
        );
        query.push_bind(shard);
        query.push(
            " LIMIT 1
             ) AS record ON true
             LEFT JOIN LATERAL (
                 SELECT id FROM bodies
                 WHERE id = event.event_id
                   AND expire_time > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                   AND shard = ",
        );
        query.push_bind(shard);
        query.push(
            " LIMIT 1
             ) AS body ON true
             LEFT JOIN LATERAL (
                 SELECT delivery_id, state, version, attempt_count
                 FROM deliveries AS candidate
                 WHERE shard = ",
        );
        query.push_bind(shard).push(" AND organization_id = ").push_bind(organization.as_str());
        match selection.scope {
            ReplayScope::Failed => {
                query.push(" AND event.event_id IS NOT NULL AND delivery_id = seen.delivery_id");
            }
            ReplayScope::Missed | ReplayScope::All => {
                query.push(" AND event_id = event.event_id AND endpoint_id = ");
                query.push_bind(selection.endpoint_id.to_string());
                query.push(" ORDER BY ").push(RANK).push(", delivery_id DESC");
            }
        }
        query.push(" LIMIT 1) AS delivery ON true ORDER BY seen.place");
        query
    }

    fn push_seen(&self, query: &mut QueryBuilder<Postgres>) {
        let Search { shard, organization, selection, after, .. } = self;
        let ulids = Ulids::of(selection);
        let (columns, last) = match selection.scope {
            ReplayScope::Missed => {
                let columns = "position AS place, position::text AS cursor, event_id, true AS fits
                               FROM missed_events";
                (columns, None)
            }
            ReplayScope::Failed => {
                let columns = "attempt_id AS place, attempt_id AS cursor, event_id, delivery_id,
                               number, outcome = 'failed' AND trigger <> 'test'";
                (columns, Some(AttemptId::new(ulids.last).to_string()))
            }
            ReplayScope::All => {
                let columns =
                    "event_id AS place, event_id AS cursor, event_id, true AS fits FROM events";
                (columns, Some(EventId::new(ulids.last).to_string()))
            }
        };
        query.push("SELECT ").push(columns);
        if selection.scope == ReplayScope::Failed {
            push_within(query, "start_time", selection);
            query.push(" AS fits FROM attempts");
        }
        query.push(" WHERE shard = ").push_bind(i32::from(shard.0));
        query.push(" AND organization_id = ").push_bind(organization.as_str());
        if selection.scope != ReplayScope::All {
            query.push(" AND endpoint_id = ").push_bind(selection.endpoint_id.to_string());
        }
        match (selection.scope, after) {
            (ReplayScope::Missed, ReplayCursor::Missed(position)) => {
                query.push(" AND position > ").push_bind(position.0);
            }
            (ReplayScope::Missed, _) => {}
            (ReplayScope::Failed, after) => {
                query.push(" AND attempt_id > ");
                query.push_bind(ulids.attempts_after(*after).to_string());
                query.push(" AND attempt_id <= ").push_bind(last);
            }
            (ReplayScope::All, after) => {
                query.push(" AND event_id > ");
                query.push_bind(ulids.events_after(*after).to_string());
                query.push(" AND event_id <= ").push_bind(last);
            }
        }
        query.push(" ORDER BY place LIMIT ").push_bind(rows(self.limit));
    }
}

/// Only where the column's time lies in the selection's. `column` is ours, never a caller's.
fn push_within(
    query: &mut QueryBuilder<Postgres>,
    column: &'static str,
    selection: &ReplaySelection,
) {
    if let Some(start) = selection.start_time {
        query.push(" AND ").push(column).push(" >= ").push_bind(micros(start));
    }
    if let Some(end) = selection.end_time {
        query.push(" AND ").push(column).push(" < ").push_bind(micros(end));
    }
}

//! Replays, and what they find.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::{Encode, QueryBuilder, Sqlite, SqlitePool, Type};

use super::errors::failed;
use super::{number, sql_limit};
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
    pub(super) now: Timestamp,
}

pub(super) async fn candidates(
    readers: &SqlitePool,
    search: &Search<'_>,
) -> Result<CandidatePage, StoreError> {
    let mut query = search.sql();
    let found = query.build_query_as::<CandidateRow>().fetch_all(readers).await;
    CandidatePage::of(found.map_err(failed)?, search.limit)
}

impl Search<'_> {
    /// First so many rows of what the scope goes through (`seen`), whether wanted or not, so that
    /// the statement takes no longer the less is found; then for each what else must be known.
    pub(super) fn sql(&self) -> QueryBuilder<Sqlite> {
        let Search { shard, organization, selection, .. } = self;
        let mut query = QueryBuilder::new("WITH seen AS (");
        self.push_seen(&mut query);
        query.push(
            ")
             SELECT seen.cursor, seen.event_id, events.event_type, events.event_time,
                    records.metadata, deliveries.delivery_id, deliveries.state AS delivery_state,
                    deliveries.version AS delivery_version, events.event_id IS NOT NULL",
        );
        if selection.scope == ReplayScope::Failed {
            query.push(" AND deliveries.attempt_count IS seen.number");
        }
        query.push(
            " AS wanted,
                    events.event_id IS NOT NULL AND EXISTS (
                        SELECT 1 FROM bodies WHERE shard = ",
        );
        query.push_bind(number(*shard)).push(" AND id = seen.event_id AND expire_time > ");
        query.push_bind(micros(self.now));
        query.push(
            ") AS kept
             FROM seen
             LEFT JOIN events ON seen.fits AND events.event_id = seen.event_id",
        );
        and(&mut query, "events.shard =", Some(number(*shard)));
        and(&mut query, "events.organization_id =", Some(organization.as_str()));
        and(&mut query, "events.position <", Some(self.before.0));
        and(&mut query, "events.event_type <>", Some("webhook.test"));
        let (first, last) = (selection.start_event, selection.end_event);
        and(&mut query, "events.position >=", first.map(|bound| bound.position.0));
        and(&mut query, "events.position <=", last.map(|bound| bound.position.0));
        if selection.scope != ReplayScope::Failed {
            and(&mut query, "events.create_time >=", selection.start_time.map(micros));
            and(&mut query, "events.create_time <", selection.end_time.map(micros));
        }
        if !selection.event_types.is_empty() {
            query.push(" AND events.event_type IN (");
            let mut names = query.separated(", ");
            selection.event_types.iter().for_each(|event_type| {
                names.push_bind(event_type.name());
            });
            query.push(")");
        }
        query.push(
            " LEFT JOIN records
                  ON records.shard = events.shard AND records.position = events.position
              LEFT JOIN deliveries
                  ON deliveries.shard = events.shard
                  AND deliveries.organization_id = events.organization_id
                  AND deliveries.delivery_id = ",
        );
        match selection.scope {
            ReplayScope::Failed => query.push("seen.delivery_id"),
            ReplayScope::Missed | ReplayScope::All => {
                query.push(
                    "(SELECT delivery_id FROM deliveries AS candidate INDEXED BY deliveries_event
                      WHERE candidate.shard = events.shard
                        AND candidate.event_id = events.event_id
                        AND candidate.endpoint_id = ",
                );
                query.push_bind(selection.endpoint_id.to_string());
                query.push(" ORDER BY ").push(RANK).push(", delivery_id DESC LIMIT 1)")
            }
        };
        query.push(" ORDER BY seen.place");
        query
    }

    fn push_seen(&self, query: &mut QueryBuilder<Sqlite>) {
        let Search { shard, organization, selection, after, .. } = self;
        let ulids = Ulids::of(selection);
        let endpoint = selection.endpoint_id.to_string();
        match selection.scope {
            ReplayScope::Missed => {
                let position = match after {
                    ReplayCursor::Missed(position) => *position,
                    _ => Position::START,
                };
                query.push(
                    "SELECT position AS place, CAST(position AS TEXT) AS cursor, event_id, TRUE AS fits
                     FROM missed_events
                     WHERE TRUE",
                );
                and(query, "shard =", Some(number(*shard)));
                and(query, "endpoint_id =", Some(endpoint));
                and(query, "organization_id =", Some(organization.as_str()));
                and(query, "position >", Some(position.0));
            }
            ReplayScope::Failed => {
                query.push(
                    "SELECT attempt_id AS place, attempt_id AS cursor, event_id, delivery_id, number,
                            outcome = 'failed' AND trigger <> 'test'",
                );
                and(query, "start_time >=", selection.start_time.map(micros));
                and(query, "start_time <", selection.end_time.map(micros));
                query.push(" AS fits FROM attempts INDEXED BY attempts_endpoint WHERE TRUE");
                and(query, "shard =", Some(number(*shard)));
                and(query, "endpoint_id =", Some(endpoint));
                and(query, "organization_id =", Some(organization.as_str()));
                and(query, "attempt_id >", Some(ulids.attempts_after(*after).to_string()));
                and(query, "attempt_id <=", Some(AttemptId::new(ulids.last).to_string()));
            }
            ReplayScope::All => {
                query.push(
                    "SELECT event_id AS place, event_id AS cursor, event_id, TRUE AS fits
                     FROM events
                     WHERE TRUE",
                );
                and(query, "shard =", Some(number(*shard)));
                and(query, "organization_id =", Some(organization.as_str()));
                and(query, "event_id >", Some(ulids.events_after(*after).to_string()));
                and(query, "event_id <=", Some(EventId::new(ulids.last).to_string()));
            }
        }
        query.push(" ORDER BY place LIMIT ").push_bind(sql_limit(self.limit));
    }
}

/// Adds a condition, if there is a value for it. `condition` is ours, never a caller's.
fn and<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(
    query: &mut QueryBuilder<Sqlite>,
    condition: &'static str,
    value: Option<T>,
) {
    if let Some(value) = value {
        query.push(" AND ").push(condition).push(" ").push_bind(value);
    }
}

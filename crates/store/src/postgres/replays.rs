//! Replays, and what they find.

use keeptrusts_webhooks_domain::ids::{AttemptId, EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::columns::{REPLAY, select};
use super::errors::store_error;
use super::lists::List;
use super::pool::Pool;
use super::reads::rows;
use super::session::fetch;
use super::write::column;
use crate::query::Ulids;
use crate::replay::{CandidatePage, RANK};
use crate::rows::{CandidateRow, ReplayRow, Word, event_types_text, micros, read_all};
use crate::store::StoreError;

/// Those that exist of these.
pub(super) async fn load(
    connection: &mut PgConnection,
    shard: Shard,
    ids: &[(OrganizationId, ReplayId)],
) -> Result<Vec<Replay>, StoreError> {
    let statement = select(
        REPLAY,
        "FROM unnest($2::text[], $3::text[]) AS wanted (owner, id)
         CROSS JOIN LATERAL (
             SELECT *
             FROM replays
             WHERE shard = $1 AND organization_id = wanted.owner AND replay_id = wanted.id
             LIMIT 1
         ) AS replay",
    );
    let rows = sqlx::query_as::<_, ReplayRow>(statement)
        .bind(i32::from(shard.0))
        .bind(column(ids, |(owner, _)| owner.as_str()))
        .bind(column(ids, |(_, id)| id.to_string()))
        .fetch_all(connection)
        .await
        .map_err(store_error)?;
    read_all(rows)
}

/// Inserts or replaces rows. Of one that is there only its progress can differ.
pub(super) async fn upsert(
    connection: &mut PgConnection,
    shard: Shard,
    replays: &[&Replay],
) -> Result<(), sqlx::Error> {
    if replays.is_empty() {
        return Ok(());
    }
    let bounds =
        |of: fn(&ReplaySelection) -> Option<keeptrusts_webhooks_domain::replay::ReplayBound>| {
            let bounds = column(replays, |row| of(&row.request.selection));
            let ids = column(&bounds, |bound| bound.map(|bound| bound.event_id.to_string()));
            (ids, column(&bounds, |bound| bound.map(|bound| bound.position.0)))
        };
    let (start_ids, start_positions) = bounds(|selection| selection.start_event);
    let (end_ids, end_positions) = bounds(|selection| selection.end_event);
    let selections = column(replays, |row| &row.request.selection);
    sqlx::query(
        "INSERT INTO replays (shard, organization_id, replay_id, endpoint_id, scope, start_time,
                              end_time, start_event_id, start_position, end_event_id,
                              end_position, event_types, include_delivered,
                              deliveries_per_second, matched_count, state, scheduled_count,
                              resumed_count, skipped_count, expired_count, cursor, position,
                              creator, create_time, finish_time, end_reason, version,
                              may_match_more)
         SELECT $1, new.*
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
                     $8::text[], $9::bigint[], $10::text[], $11::bigint[], $12::text[],
                     $13::boolean[], $14::int[], $15::bigint[], $16::text[], $17::bigint[],
                     $18::bigint[], $19::bigint[], $20::bigint[], $21::text[], $22::bigint[],
                     $23::text[], $24::bigint[], $25::bigint[], $26::text[],
                     $27::bigint[], $28::boolean[]) AS new
         ON CONFLICT (shard, organization_id, replay_id) DO UPDATE SET
             state = excluded.state,
             scheduled_count = excluded.scheduled_count,
             resumed_count = excluded.resumed_count,
             skipped_count = excluded.skipped_count,
             expired_count = excluded.expired_count,
             cursor = excluded.cursor,
             finish_time = excluded.finish_time,
             end_reason = excluded.end_reason,
             version = excluded.version",
    )
    .bind(i32::from(shard.0))
    .bind(column(replays, |row| row.organization_id.as_str()))
    .bind(column(replays, |row| row.id.to_string()))
    .bind(column(&selections, |selection| selection.endpoint_id.to_string()))
    .bind(column(&selections, |selection| selection.scope.word()))
    .bind(column(&selections, |selection| selection.start_time.map(micros)))
    .bind(column(&selections, |selection| selection.end_time.map(micros)))
    .bind(start_ids)
    .bind(start_positions)
    .bind(end_ids)
    .bind(end_positions)
    .bind(column(&selections, |selection| event_types_text(&selection.event_types)))
    .bind(column(&selections, |selection| selection.include_delivered))
    // A rate is at most 5,000, and no table counts beyond 63 bits.
    .bind(column(replays, |row| row.request.deliveries_per_second as i32))
    .bind(column(replays, |row| row.request.matched_count as i64))
    .bind(column(replays, |row| row.state.word()))
    .bind(column(replays, |row| row.counts.scheduled as i64))
    .bind(column(replays, |row| row.counts.resumed as i64))
    .bind(column(replays, |row| row.counts.skipped as i64))
    .bind(column(replays, |row| row.counts.expired as i64))
    .bind(column(replays, |row| row.cursor.to_string()))
    .bind(column(replays, |row| row.position.0))
    .bind(column(replays, |row| row.creator.as_str()))
    .bind(column(replays, |row| micros(row.create_time)))
    .bind(column(replays, |row| row.finish_time.map(micros)))
    .bind(column(replays, |row| row.end_reason.as_str()))
    .bind(column(replays, |row| row.version.0))
    .bind(column(replays, |row| row.request.may_match_more))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    id: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    let query = sqlx::query_as::<_, ReplayRow>(select(
        REPLAY,
        "FROM replays WHERE shard = $1 AND organization_id = $2 AND replay_id = $3",
    ))
    .bind(i32::from(shard.0))
    .bind(organization.as_str())
    .bind(id.to_string());
    fetch(readers, query).await?.pop().map(Replay::try_from).transpose()
}

pub(super) async fn list(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    endpoint: Option<EndpointId>,
    before: ReplayId,
    limit: usize,
) -> Result<Vec<Replay>, StoreError> {
    let mut query = List::of(REPLAY, "replays", shard, organization)
        .with("replay_id <", before.to_string())
        .with_any("endpoint_id =", endpoint.map(|id| id.to_string()))
        .newest_first("replay_id", limit);
    read_all(fetch::<ReplayRow>(readers, query.build_query_as()).await?)
}

pub(super) async fn running(
    readers: &Pool,
    shard: Shard,
    organization: Option<&OrganizationId>,
    after: ReplayId,
    limit: usize,
) -> Result<Vec<Replay>, StoreError> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    query.push(REPLAY).push(" FROM replays WHERE state = 'running' AND shard = ");
    query.push_bind(i32::from(shard.0)).push(" AND replay_id > ").push_bind(after.to_string());
    if let Some(organization) = organization {
        query.push(" AND organization_id = ").push_bind(organization.as_str());
    }
    query.push(" ORDER BY replay_id LIMIT ").push_bind(rows(limit));
    read_all(fetch::<ReplayRow>(readers, query.build_query_as()).await?)
}

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

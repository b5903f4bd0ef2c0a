//! Replays, and what they find.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{AttemptId, EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{Replay, ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::errors::failed;
use super::lists::{and, fetch};
use super::set_statement::{SetStatement, Values};
use super::{number, sql_limit};
use crate::query::Ulids;
use crate::replay::{CandidatePage, RANK};
use crate::rows::{CandidateRow, ReplayRow, Word, event_types_text, micros, read_all};
use crate::store::StoreError;

pub(super) static REPLAYS: SetStatement = SetStatement::new(
    2,
    "WITH wanted (organization_id, replay_id) AS (VALUES {rows})
     SELECT replays.*
     FROM wanted CROSS JOIN replays USING (organization_id, replay_id)
     WHERE replays.shard = ?",
);

static UPSERT: SetStatement = SetStatement::new(
    28,
    "INSERT OR REPLACE INTO replays
         (shard, organization_id, replay_id, endpoint_id, scope, start_time, end_time,
          start_event_id, start_position, end_event_id, end_position, event_types,
          include_delivered, deliveries_per_second, matched_count, state, scheduled_count,
          resumed_count, skipped_count, expired_count, cursor, position, creator, create_time,
          finish_time, end_reason, version, may_match_more)
     VALUES {rows}",
);

/// Those that exist of these.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    shard: Shard,
    ids: &[(OrganizationId, ReplayId)],
) -> Result<Vec<Replay>, StoreError> {
    let bind = |values: &mut Values, (organization, id): &(OrganizationId, ReplayId)| {
        values.push(organization.as_str());
        values.push(id.to_string());
    };
    let found = REPLAYS.fetch::<_, ReplayRow>(connection, ids.iter(), bind, &[number(shard)]).await;
    read_all(found.map_err(failed)?)
}

pub(super) async fn write<'a>(
    connection: &mut SqliteConnection,
    shard: Shard,
    rows: impl ExactSizeIterator<Item = &'a Replay> + Send,
) -> Result<(), sqlx::Error> {
    let bind = |values: &mut Values, row: &Replay| bind_replay(values, shard, row);
    UPSERT.execute(connection, rows, bind).await
}

fn bind_replay(values: &mut Values, shard: Shard, row: &Replay) {
    let (selection, counts) = (&row.request.selection, &row.counts);
    values.push(number(shard));
    values.push(row.organization_id.as_str());
    values.push(row.id.to_string());
    values.push(selection.endpoint_id.to_string());
    values.push(selection.scope.word());
    values.push(selection.start_time.map(micros));
    values.push(selection.end_time.map(micros));
    for bound in [selection.start_event, selection.end_event] {
        values.push(bound.map(|bound| bound.event_id.to_string()));
        values.push(bound.map(|bound| bound.position.0));
    }
    values.push(event_types_text(&selection.event_types));
    values.push(selection.include_delivered);
    values.push(i64::from(row.request.deliveries_per_second));
    // No table counts beyond 63 bits.
    values.push(row.request.matched_count as i64);
    values.push(row.state.word());
    for count in [counts.scheduled, counts.resumed, counts.skipped, counts.expired] {
        values.push(count as i64);
    }
    values.push(row.cursor.to_string());
    values.push(row.position.0);
    values.push(row.creator.as_str());
    values.push(micros(row.create_time));
    values.push(row.finish_time.map(micros));
    values.push(row.end_reason.as_str());
    values.push(row.version.0);
    values.push(row.request.may_match_more);
}

pub(super) async fn by_id(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    id: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    let mut connection = readers.acquire().await.map_err(failed)?;
    Ok(load(&mut connection, shard, &[(organization.clone(), id)]).await?.pop())
}

pub(super) async fn list(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    endpoint: Option<EndpointId>,
    before: ReplayId,
    limit: usize,
) -> Result<Vec<Replay>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM replays WHERE TRUE");
    and(&mut query, "shard =", Some(number(shard)));
    and(&mut query, "organization_id =", Some(organization.as_str()));
    and(&mut query, "replay_id <", Some(before.to_string()));
    and(&mut query, "endpoint_id =", endpoint.map(|id| id.to_string()));
    query.push(" ORDER BY replay_id DESC LIMIT ").push_bind(sql_limit(limit));
    fetch::<ReplayRow, _>(readers, query).await
}

pub(super) async fn running(
    readers: &SqlitePool,
    shard: Shard,
    organization: Option<&OrganizationId>,
    after: ReplayId,
    limit: usize,
) -> Result<Vec<Replay>, StoreError> {
    let mut query = QueryBuilder::new(
        "SELECT * FROM replays INDEXED BY replays_running WHERE state = 'running'",
    );
    and(&mut query, "shard =", Some(number(shard)));
    and(&mut query, "organization_id =", organization.map(|whose| whose.as_str()));
    and(&mut query, "replay_id >", Some(after.to_string()));
    query.push(" ORDER BY replay_id LIMIT ").push_bind(sql_limit(limit));
    fetch::<ReplayRow, _>(readers, query).await
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

//! The events that a replay finds.

use keeptrusts_webhooks_domain::replay::ReplayScope;
use sqlx::{Postgres, QueryBuilder};

use super::arguments::column;
use super::pool::Pool;
use super::session::fetch;
use crate::error::StoreError;
use crate::queries::replay_candidates::{CandidatePage, RANK};
use crate::sql::candidates::CandidateRow;
use crate::sql::replay_scan::{ReplaySearch, push_scan, push_time_range};

pub(super) async fn candidates(
    readers: &Pool,
    search: &ReplaySearch<'_>,
) -> Result<CandidatePage, StoreError> {
    let mut query = select(search);
    let rows = fetch::<CandidateRow>(readers, query.build_query_as()).await?;
    CandidatePage::of(rows, search.limit)
}

/// Scans the rows of the scope, then looks up what else is needed for each. LIMIT keeps the planner
/// from reversing the lookups: see [`super::load`].
pub(super) fn select(search: &ReplaySearch<'_>) -> QueryBuilder<Postgres> {
    let ReplaySearch { organization, selection, before, .. } = search;
    let shard = i32::from(search.shard.0);
    let mut query = QueryBuilder::new("WITH scanned AS MATERIALIZED (");
    push_scan(&mut query, search);
    query.push(
        ")
         SELECT scanned.cursor, scanned.event_id, event.event_type, event.event_time,
                record.metadata, delivery.delivery_id, delivery.state AS delivery_state,
                delivery.version AS delivery_version,
                event.event_id IS NOT NULL AND body.id IS NOT NULL AS kept,
                event.event_id IS NOT NULL",
    );
    if selection.scope == ReplayScope::Failed {
        query.push(" AND delivery.attempt_count IS NOT DISTINCT FROM scanned.number");
    }
    query.push(
        " AS wanted
         FROM scanned
         LEFT JOIN LATERAL (
             SELECT event_id, event_type, event_time, position
             FROM events
             WHERE scanned.matches AND event_id = scanned.event_id AND shard = ",
    );
    query.push_bind(shard);
    query.push(" AND organization_id = ").push_bind(organization.as_str());
    query.push(" AND position < ").push_bind(before.0);
    query.push(" AND NOT is_test");
    if let Some(bound) = selection.start_event {
        query.push(" AND position >= ").push_bind(bound.position.0);
    }
    if let Some(bound) = selection.end_event {
        query.push(" AND position <= ").push_bind(bound.position.0);
    }
    if selection.scope != ReplayScope::Failed {
        push_time_range(&mut query, "create_time", selection);
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
            query.push(" AND event.event_id IS NOT NULL AND delivery_id = scanned.delivery_id");
        }
        ReplayScope::Missed | ReplayScope::All => {
            query.push(" AND event_id = event.event_id AND endpoint_id = ");
            query.push_bind(selection.endpoint_id.to_string());
            query.push(" ORDER BY ").push(RANK).push(", delivery_id DESC");
        }
    }
    query.push(" LIMIT 1) AS delivery ON true ORDER BY scanned.sort_key");
    query
}

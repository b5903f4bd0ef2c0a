//! The events that a replay finds.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::replay::ReplayScope;
use sqlx::{Encode, QueryBuilder, Sqlite, SqlitePool, Type};

use super::errors::store_error;
use crate::error::StoreError;
use crate::queries::replay_candidates::{CandidatePage, RANK};
use crate::sql::candidates::CandidateRow;
use crate::sql::replay_scan::{ReplaySearch, push_scan, push_time_range};
use crate::tables::micros;

pub(super) async fn candidates(
    readers: &SqlitePool,
    search: &ReplaySearch<'_>,
    now: Timestamp,
) -> Result<CandidatePage, StoreError> {
    let mut query = select(search, now);
    let rows = query.build_query_as::<CandidateRow>().fetch_all(readers).await;
    CandidatePage::of(rows.map_err(store_error)?, search.limit)
}

/// Scans the rows of the scope, then looks up what else is needed for each.
pub(super) fn select(search: &ReplaySearch<'_>, now: Timestamp) -> QueryBuilder<Sqlite> {
    let ReplaySearch { organization, selection, before, .. } = search;
    let shard = i64::from(search.shard.0);
    let mut query = QueryBuilder::new("WITH scanned AS (");
    push_scan(&mut query, search);
    query.push(
        ")
         SELECT scanned.cursor, scanned.event_id, events.event_type, events.event_time,
                records.metadata, deliveries.delivery_id, deliveries.state AS delivery_state,
                deliveries.version AS delivery_version, events.event_id IS NOT NULL",
    );
    if selection.scope == ReplayScope::Failed {
        query.push(" AND deliveries.attempt_count IS scanned.number");
    }
    query.push(
        " AS wanted,
                events.event_id IS NOT NULL AND EXISTS (
                    SELECT 1 FROM bodies WHERE shard = ",
    );
    query.push_bind(shard).push(" AND id = scanned.event_id AND expire_time > ");
    query.push_bind(micros(now));
    query.push(
        ") AS kept
         FROM scanned
         LEFT JOIN events ON scanned.matches AND events.event_id = scanned.event_id",
    );
    and(&mut query, "events.shard =", Some(shard));
    and(&mut query, "events.organization_id =", Some(organization.as_str()));
    and(&mut query, "events.position <", Some(before.0));
    and(&mut query, "events.is_test =", Some(false));
    let (first, last) = (selection.start_event, selection.end_event);
    and(&mut query, "events.position >=", first.map(|bound| bound.position.0));
    and(&mut query, "events.position <=", last.map(|bound| bound.position.0));
    if selection.scope != ReplayScope::Failed {
        push_time_range(&mut query, "events.create_time", selection);
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
        ReplayScope::Failed => query.push("scanned.delivery_id"),
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
    query.push(" ORDER BY scanned.sort_key");
    query
}

/// Adds a condition, if there is a value for it. `condition` must be written in the source.
fn and<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(
    query: &mut QueryBuilder<Sqlite>,
    condition: &'static str,
    value: Option<T>,
) {
    if let Some(value) = value {
        query.push(" AND ").push(condition).push(" ").push_bind(value);
    }
}

//! The part of a replay's statement that both databases share: which rows it scans.

use keeptrusts_webhooks_domain::ids::{AttemptId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::replay::{ReplayCursor, ReplayScope, ReplaySelection};
use sqlx::QueryBuilder;

use super::dialect::Dialect;
use super::limit::row_limit;
use crate::queries::interval::Ulids;
use crate::tables::Cell;

/// Which events a replay looks for.
pub(crate) struct ReplaySearch<'a> {
    pub(crate) shard: Shard,
    pub(crate) organization: &'a OrganizationId,
    pub(crate) selection: &'a ReplaySelection,
    /// Only events that were accepted below this position.
    pub(crate) before: Position,
    pub(crate) after: ReplayCursor,
    /// The most rows that are scanned, whether they match or not.
    pub(crate) limit: usize,
}

/// Adds the statement that scans the rows. It reads one index in its order, and stops at the limit
/// whether rows match or not, so that it takes no longer if few rows match.
///
/// Its columns are `sort_key`, `cursor`, `event_id` and `matches`; if failed deliveries are
/// replayed, also `delivery_id` and `number` (of the attempt).
pub(crate) fn push_scan<DB: Dialect>(query: &mut QueryBuilder<DB>, search: &ReplaySearch<'_>) {
    let ReplaySearch { shard, organization, selection, after, limit, .. } = search;
    let ulids = Ulids::of(selection);
    // The key of the index after the organization and the endpoint, and its range.
    let (key, after, last) = match selection.scope {
        ReplayScope::Missed => {
            query.push(
                "SELECT position AS sort_key, CAST(position AS TEXT) AS cursor, event_id,
                        TRUE AS matches
                 FROM missed_events",
            );
            let position = match after {
                ReplayCursor::Missed(position) => *position,
                _ => Position::START,
            };
            ("position", Cell::from(position), None)
        }
        ReplayScope::Failed => {
            query.push(
                "SELECT attempt_id AS sort_key, attempt_id AS cursor, event_id, delivery_id, number,
                        outcome = 'failed' AND trigger <> 'test'",
            );
            push_time_range(query, "start_time", selection);
            query.push(" AS matches FROM attempts");
            DB::by_index(query, "attempts_endpoint");
            let (after, last) = (ulids.attempts_after(*after), AttemptId::new(ulids.last));
            ("attempt_id", after.into(), Some(last.into()))
        }
        ReplayScope::All => {
            query.push(
                "SELECT event_id AS sort_key, event_id AS cursor, event_id, TRUE AS matches
                 FROM events",
            );
            let (after, last) = (ulids.events_after(*after), EventId::new(ulids.last));
            ("event_id", after.into(), Some(last.into()))
        }
    };
    query.push(" WHERE shard = ");
    DB::bind_shard(query, *shard);
    let organization = Cell::from(*organization);
    query.push(" AND ");
    match selection.scope {
        ReplayScope::All => {
            query.push("organization_id = ");
            DB::bind(query, &organization);
        }
        // An endpoint belongs to one organization.
        ReplayScope::Missed | ReplayScope::Failed => {
            DB::equal_throughout(query, "organization_id", &organization);
            query.push(" AND endpoint_id = ");
            DB::bind(query, &Cell::from(selection.endpoint_id));
        }
    }
    query.push(format_args!(" AND {key} > "));
    DB::bind(query, &after);
    if let Some(last) = last {
        query.push(format_args!(" AND {key} <= "));
        DB::bind(query, &last);
    }
    query.push(" ORDER BY sort_key LIMIT ");
    DB::bind(query, &Cell::Integer(row_limit(*limit)));
}

/// Adds the condition that a column's time is in the selection's range. `column` must be written in
/// the source.
pub(crate) fn push_time_range<DB: Dialect>(
    query: &mut QueryBuilder<DB>,
    column: &'static str,
    selection: &ReplaySelection,
) {
    if let Some(start) = selection.start_time {
        query.push(format_args!(" AND {column} >= "));
        DB::bind(query, &Cell::from(start));
    }
    if let Some(end) = selection.end_time {
        query.push(format_args!(" AND {column} < "));
        DB::bind(query, &Cell::from(end));
    }
}

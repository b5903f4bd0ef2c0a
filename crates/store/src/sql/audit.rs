//! The statement of the audit trail.

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use sqlx::QueryBuilder;

use super::dialect::Dialect;
use super::limit::row_limit;
use crate::log::operation::Record;
use crate::queries::{AnyOf, AuditFilter};
use crate::tables::{Cell, Entity, micros};

/// Selects the records of an organization's audit trail that match, newest first, from below
/// `before` down to `floor`.
pub(crate) fn select_audit_records<DB: Dialect>(
    shard: Shard,
    organization: &OrganizationId,
    filter: &AuditFilter,
    (before, floor): (Position, Option<Position>),
    limit: usize,
) -> QueryBuilder<DB> {
    let columns = Record::TABLE.read_columns();
    let mut query = QueryBuilder::new(format!("SELECT {columns} FROM records"));
    DB::by_index(&mut query, "records_audit");
    query.push(" WHERE audit_action IS NOT NULL AND shard = ");
    DB::bind_shard(&mut query, shard);
    let mut and = |condition: &'static str, value: Option<Cell<'static>>| {
        if let Some(value) = value {
            query.push(" AND ").push(condition).push(" ");
            DB::bind(&mut query, &value);
        }
    };
    and("organization_id =", Some(organization.into()));
    and("position <", Some(before.into()));
    and("position >=", floor.map(Cell::from));
    and("actor =", filter.actor.as_deref().map(|actor| Cell::from(actor).into_owned()));
    and("recorded_at >=", filter.recorded.start.map(micros).map(Cell::from));
    and("recorded_at <", filter.recorded.end.map(micros).map(Cell::from));
    if !filter.actions.is_all() {
        let labels = filter.actions.iter().flat_map(|action| action.labels());
        query.push(" AND audit_action");
        push_one_of(&mut query, labels.map(Cell::from));
    }
    if !filter.endpoint_ids.is_all() {
        push_is_about(&mut query, &filter.endpoint_ids);
    }
    query.push(" ORDER BY position DESC LIMIT ");
    DB::bind(&mut query, &Cell::Integer(row_limit(limit)));
    query
}

/// Adds the rest of the condition that a column has one of these values, of which there is one at least.
fn push_one_of<DB: Dialect>(
    query: &mut QueryBuilder<DB>,
    values: impl Iterator<Item = Cell<'static>>,
) {
    query.push(" IN (");
    for (index, value) in values.enumerate() {
        query.push(if index == 0 { "" } else { ", " });
        DB::bind(query, &value);
    }
    query.push(")");
}

/// Adds the condition that a record is about one of the endpoints. The id of a delivery or a replay follows
/// `delivery/` or `replay/` in the stream's name. Nothing is looked up for other streams: a look-up costs
/// more than reading the record.
fn push_is_about<DB: Dialect>(query: &mut QueryBuilder<DB>, endpoints: &AnyOf<EndpointId>) {
    let ids = || endpoints.iter().map(|id| Cell::from(*id));
    query.push(" AND (stream");
    push_one_of(query, endpoints.iter().map(|id| Cell::shown(Stream::Endpoint(*id))));
    query.push(
        " OR substr(stream, 1, 9) = 'delivery/' AND EXISTS (
             SELECT 1 FROM deliveries
             WHERE deliveries.shard = records.shard
               AND deliveries.organization_id = records.organization_id
               AND deliveries.delivery_id = substr(records.stream, 10)
               AND deliveries.endpoint_id",
    );
    push_one_of(query, ids());
    query.push(
        ") OR substr(stream, 1, 7) = 'replay/' AND EXISTS (
             SELECT 1 FROM replays
             WHERE replays.shard = records.shard
               AND replays.organization_id = records.organization_id
               AND replays.replay_id = substr(records.stream, 8)
               AND replays.endpoint_id",
    );
    push_one_of(query, ids());
    query.push("))");
}

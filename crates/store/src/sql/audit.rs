//! The statement of the audit trail.

use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use sqlx::QueryBuilder;

use super::dialect::Dialect;
use super::limit::row_limit;
use crate::log::operation::Record;
use crate::queries::AuditFilter;
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
    if let Some(action) = filter.action {
        query.push(" AND audit_action IN (");
        for (index, label) in action.labels().iter().enumerate() {
            query.push(if index == 0 { "" } else { ", " });
            DB::bind(&mut query, &Cell::from(*label));
        }
        query.push(")");
    }
    if let Some(id) = filter.endpoint_id {
        push_is_about(&mut query, id);
    }
    query.push(" ORDER BY position DESC LIMIT ");
    DB::bind(&mut query, &Cell::Integer(row_limit(limit)));
    query
}

/// Adds the condition that a record is about an endpoint. The id of a delivery or a replay follows
/// `delivery/` or `replay/` in the stream's name; in no other stream does such an id follow there.
fn push_is_about<DB: Dialect>(query: &mut QueryBuilder<DB>, id: EndpointId) {
    query.push(" AND (stream = ");
    DB::bind(query, &Cell::shown(Stream::Endpoint(id)));
    query.push(
        " OR EXISTS (
             SELECT 1 FROM deliveries
             WHERE deliveries.shard = records.shard
               AND deliveries.organization_id = records.organization_id
               AND deliveries.delivery_id = substr(records.stream, 10)
               AND deliveries.endpoint_id = ",
    );
    DB::bind(query, &Cell::from(id));
    query.push(
        ") OR EXISTS (
             SELECT 1 FROM replays
             WHERE replays.shard = records.shard
               AND replays.organization_id = records.organization_id
               AND replays.replay_id = substr(records.stream, 8)
               AND replays.endpoint_id = ",
    );
    DB::bind(query, &Cell::from(id));
    query.push("))");
}

//! Lists with filters: newest first, continued before an id. A filter that is not used is not
//! in the statement, so that each statement has the plan that suits it.
//!
//! A list looks at so many rows of an index at most: where those end is found first ([`Walk`]), and
//! is one more condition of the statement that reads them. It is a value there and no subquery, so
//! that the planner sees how little lies between.

use std::str::FromStr;

use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{Postgres, QueryBuilder};

use super::pool::Pool;
use super::reads::rows;
use super::session::fetch;
use crate::error::StoreError;
use crate::queries::{
    AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, Interval, Reach,
};
use crate::tables::{Entity, Stored, micros, read_all};

/// A statement that lists rows of one organization.
pub(super) struct List(pub(super) QueryBuilder<Postgres>);

impl List {
    /// Of whole rows.
    pub(super) fn of<Row: Entity>(shard: Shard, organization: &OrganizationId) -> List {
        List::columns(&Row::TABLE.read_columns(), Row::TABLE.name, shard, organization)
    }

    /// Of some columns.
    pub(super) fn columns(
        columns: &str,
        table: &str,
        shard: Shard,
        organization: &OrganizationId,
    ) -> List {
        let mut sql = QueryBuilder::new(format!("SELECT {columns} FROM {table} WHERE shard = "));
        sql.push_bind(i32::from(shard.0));
        List(sql).with("organization_id =", organization.as_str())
    }

    /// Only where this holds of the value.
    pub(super) fn with<'a, Value>(mut self, condition: &'static str, value: Value) -> List
    where
        Value: sqlx::Encode<'a, Postgres> + sqlx::Type<Postgres>,
    {
        self.0.push(format_args!(" AND {condition} ")).push_bind(value);
        self
    }

    /// Only where this holds of the value, if there is one.
    pub(super) fn with_any<'a, Value>(self, condition: &'static str, value: Option<Value>) -> List
    where
        Value: sqlx::Encode<'a, Postgres> + sqlx::Type<Postgres>,
    {
        match value {
            Some(value) => self.with(condition, value),
            None => self,
        }
    }

    /// Only where the column's time lies in the interval.
    pub(super) fn within(
        self,
        from: &'static str,
        before: &'static str,
        interval: Interval,
    ) -> List {
        self.with_any(from, interval.start.map(micros)).with_any(before, interval.end.map(micros))
    }

    pub(super) fn newest_first(mut self, id: &'static str, limit: usize) -> QueryBuilder<Postgres> {
        self.0.push(format_args!(" ORDER BY {id} DESC LIMIT ")).push_bind(rows(limit));
        self.0
    }
}

/// Rows of an index, from an id on backwards.
struct Walk<'a, Id> {
    shard: Shard,
    organization: &'a OrganizationId,
    endpoint: Option<EndpointId>,
    before: Id,
    /// Nothing below is wanted.
    first: Option<Id>,
}

impl<Id: ToString + FromStr> Walk<'_, Id> {
    /// Where its next `rows` rows end. None: they are not limited.
    async fn reach(
        &self,
        readers: &Pool,
        table: &'static str,
        id: &'static str,
        rows: Option<usize>,
    ) -> Result<Reach<Id>, StoreError> {
        let Some(rows) = rows else { return Ok(Reach::End) };
        let mut query = self.select_last(table, id, rows);
        let found = fetch::<(String, String)>(readers, query.build_query_as()).await?.pop();
        let Some((organization, id)) = found else { return Ok(Reach::End) };
        if organization != self.organization.as_str() {
            return Ok(Reach::Foreign);
        }
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("the id {id}")))?;
        Ok(Reach::Until(id))
    }

    fn select_last(
        &self,
        table: &'static str,
        id: &'static str,
        limit: usize,
    ) -> QueryBuilder<Postgres> {
        let mut query =
            QueryBuilder::new(format!("SELECT organization_id, {id} FROM {table} WHERE shard = "));
        query.push_bind(i32::from(self.shard.0));
        match self.endpoint {
            Some(endpoint) => {
                query.push(" AND endpoint_id = ").push_bind(endpoint.to_string());
            }
            None => {
                query.push(" AND organization_id = ").push_bind(self.organization.as_str());
            }
        }
        query.push(format_args!(" AND {id} < ")).push_bind(self.before.to_string());
        if let Some(first) = &self.first {
            query.push(format_args!(" AND {id} >= ")).push_bind(first.to_string());
        }
        query.push(format_args!(" ORDER BY {id} DESC LIMIT 1 OFFSET "));
        query.push_bind(rows(limit.saturating_sub(1)));
        query
    }
}

pub(super) async fn list_endpoints(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &EndpointFilter,
    before: EndpointId,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    let search = filter.search.as_ref().map(|text| text.to_ascii_lowercase());
    let mut list = List::of::<Endpoint>(shard, organization)
        .with("delete_time IS NULL AND endpoint_id <", before.to_string())
        .with_any("status =", filter.status.map(|status| status.name()));
    if let Some(text) = search {
        // In the C collation only ASCII letters have cases.
        list.0.push(" AND (strpos(lower(name COLLATE \"C\"), ").push_bind(text.clone());
        list.0.push(") > 0 OR strpos(lower(url COLLATE \"C\"), ").push_bind(text).push(") > 0)");
    }
    let mut query = list.newest_first("endpoint_id", limit);
    read_all(fetch::<Stored<Endpoint>>(readers, query.build_query_as()).await?)
}

pub(super) async fn list_events(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &EventFilter,
    before: EventId,
    limit: usize,
) -> Result<Found<Event, EventId>, StoreError> {
    let ulids = filter.accepted.ulids();
    let before = EventId::new(ulids.before(before.ulid()));
    let first = filter.accepted.start.map(|_| EventId::new(ulids.first));
    let endpoint = None;
    let walk = Walk { shard, organization, endpoint, before, first };
    let floor = match walk.reach(readers, "events", "event_id", filter.looks_at(limit)).await? {
        Reach::Foreign => return Ok(Found::nothing()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let mut query = List::of::<Event>(shard, organization)
        .with("event_id <", before.to_string())
        .with_any("event_id >=", floor.or(first).map(|id| id.to_string()))
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .within("create_time >=", "create_time <", filter.accepted)
        .with_any("publisher =", filter.publisher.as_deref())
        .newest_first("event_id", limit);
    let rows = read_all(fetch::<Stored<Event>>(readers, query.build_query_as()).await?)?;
    Ok(Found::of(rows, limit, floor, |row: &Event| row.id))
}

pub(super) async fn list_deliveries(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &DeliveryFilter,
    before: DeliveryId,
    limit: usize,
) -> Result<Found<Delivery, DeliveryId>, StoreError> {
    let ulids = filter.scheduled.ulids();
    let before = DeliveryId::new(ulids.before(before.ulid()));
    let first = filter.scheduled.start.map(|_| DeliveryId::new(ulids.first));
    let endpoint = filter.endpoint_id;
    let walk = Walk { shard, organization, endpoint, before, first };
    let floor =
        match walk.reach(readers, "deliveries", "delivery_id", filter.looks_at(limit)).await? {
            Reach::Foreign => return Ok(Found::nothing()),
            Reach::Until(floor) => Some(floor),
            Reach::End => None,
        };
    let mut query = List::of::<Delivery>(shard, organization)
        .with("delivery_id <", before.to_string())
        .with_any("delivery_id >=", floor.or(first).map(|id| id.to_string()))
        .with_any("endpoint_id =", filter.endpoint_id.map(|id| id.to_string()))
        .with_any("event_id =", filter.event_id.map(|id| id.to_string()))
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .with_any("state =", filter.state.map(|state| state.name()))
        .within("create_time >=", "create_time <", filter.scheduled)
        .newest_first("delivery_id", limit);
    let rows = read_all(fetch::<Stored<Delivery>>(readers, query.build_query_as()).await?)?;
    Ok(Found::of(rows, limit, floor, |row: &Delivery| row.id))
}

pub(super) async fn list_attempts(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &AttemptFilter,
    before: AttemptId,
    limit: usize,
) -> Result<Found<Attempt, AttemptId>, StoreError> {
    let ulids = filter.begun.ulids();
    let before = AttemptId::new(ulids.before(before.ulid()));
    let first = filter.begun.start.map(|_| AttemptId::new(ulids.first));
    let endpoint = filter.endpoint_id;
    let walk = Walk { shard, organization, endpoint, before, first };
    let floor = match walk.reach(readers, "attempts", "attempt_id", filter.looks_at(limit)).await? {
        Reach::Foreign => return Ok(Found::nothing()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let mut query = List::of::<Attempt>(shard, organization)
        .with("attempt_id <", before.to_string())
        .with_any("attempt_id >=", floor.or(first).map(|id| id.to_string()))
        .with_any("endpoint_id =", filter.endpoint_id.map(|id| id.to_string()))
        .with_any("delivery_id =", filter.delivery_id.map(|id| id.to_string()))
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .with_any("outcome =", filter.outcome.map(|outcome| outcome.name()))
        .within("start_time >=", "start_time <", filter.begun)
        .newest_first("attempt_id", limit);
    let rows = read_all(fetch::<Stored<Attempt>>(readers, query.build_query_as()).await?)?;
    Ok(Found::of(rows, limit, floor, |row: &Attempt| row.made.id))
}

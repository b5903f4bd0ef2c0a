//! The projections, read.
//!
//! A list looks at so many rows of an index at most: where those end is found first, in the index
//! alone ([`Walk`]), and is one more condition of the statement that reads them.
//!
//! A read is one statement, which sees one snapshot. Where a filter names what an index begins
//! with, the statement names the index: without statistics SQLite would as well walk through
//! all of an organization's rows.

use std::str::FromStr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::encode::Encode;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Type;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqlitePool};

use super::errors::failed;
use super::{number, sql_limit};
use crate::error::StoreError;
use crate::log::projection::{CountKey, Missed};
use crate::queries::{
    AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, Found, Interval, Reach,
};
use crate::tables::{ReadableRow, Stored, micros, read_all};

/// A table that lists are read from.
pub(super) struct Listed {
    all: &'static str,
    /// By an endpoint.
    of_endpoint: &'static str,
    id: &'static str,
    below: &'static str,
    not_below: &'static str,
}

pub(super) const EVENTS: Listed = Listed {
    all: "events",
    of_endpoint: "events",
    id: "event_id",
    below: "event_id <",
    not_below: "event_id >=",
};

pub(super) const DELIVERIES: Listed = Listed {
    all: "deliveries",
    of_endpoint: "deliveries INDEXED BY deliveries_endpoint",
    id: "delivery_id",
    below: "delivery_id <",
    not_below: "delivery_id >=",
};

pub(super) const ATTEMPTS: Listed = Listed {
    all: "attempts",
    of_endpoint: "attempts INDEXED BY attempts_endpoint",
    id: "attempt_id",
    below: "attempt_id <",
    not_below: "attempt_id >=",
};

/// Rows of an index, from an id on backwards.
pub(super) struct Walk<'a, Id> {
    pub(super) shard: Shard,
    pub(super) organization: &'a OrganizationId,
    pub(super) endpoint: Option<EndpointId>,
    pub(super) before: Id,
    /// Nothing below is wanted.
    pub(super) first: Option<Id>,
}

impl<Id: ToString + FromStr> Walk<'_, Id> {
    /// Where its next `rows` rows end. None: they are not limited.
    async fn reach(
        &self,
        readers: &SqlitePool,
        listed: &Listed,
        rows: Option<usize>,
    ) -> Result<Reach<Id>, StoreError> {
        let Some(rows) = rows else { return Ok(Reach::End) };
        let mut query = self.select_last(listed, rows);
        let found = query.build_query_as::<(String, String)>().fetch_optional(readers).await;
        let Some((organization, id)) = found.map_err(failed)? else { return Ok(Reach::End) };
        if organization != self.organization.as_str() {
            return Ok(Reach::Foreign);
        }
        let id = id.parse().map_err(|_| StoreError::Unreadable(format!("the id {id}")))?;
        Ok(Reach::Until(id))
    }

    pub(super) fn select_last(&self, listed: &Listed, rows: usize) -> QueryBuilder<Sqlite> {
        let Listed { all, of_endpoint, id, below, not_below } = *listed;
        let mut query = QueryBuilder::new("SELECT organization_id, ");
        let from = if self.endpoint.is_some() { of_endpoint } else { all };
        query.push(id).push(" FROM ").push(from).push(" WHERE TRUE");
        and(&mut query, "shard =", Some(number(self.shard)));
        match self.endpoint {
            Some(endpoint) => and(&mut query, "endpoint_id =", Some(endpoint.to_string())),
            None => and(&mut query, "organization_id =", Some(self.organization.as_str())),
        }
        and(&mut query, below, Some(self.before.to_string()));
        and(&mut query, not_below, self.first.as_ref().map(ToString::to_string));
        query.push(" ORDER BY ").push(id).push(" DESC LIMIT 1 OFFSET ");
        query.push_bind(sql_limit(rows.saturating_sub(1)));
        query
    }
}

pub(super) async fn endpoints(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &EndpointFilter,
    before: EndpointId,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    fetch::<Stored<Endpoint>>(readers, select_endpoints(shard, organization, filter, before, limit))
        .await
}

pub(super) fn select_endpoints(
    shard: Shard,
    organization: &OrganizationId,
    filter: &EndpointFilter,
    before: EndpointId,
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT * FROM endpoints WHERE delete_time IS NULL");
    and_of(&mut query, shard, organization, "endpoint_id <", before);
    and(&mut query, "status =", filter.status.map(|status| status.name()));
    if let Some(search) = &filter.search {
        // lower() knows ASCII only, as we do.
        let search = search.to_ascii_lowercase();
        query.push(" AND (instr(lower(name), ").push_bind(search.clone());
        query.push(") > 0 OR instr(lower(url), ").push_bind(search).push(") > 0)");
    }
    query.push(" ORDER BY endpoint_id DESC LIMIT ").push_bind(sql_limit(limit));
    query
}

pub(super) async fn shard_endpoints(
    readers: &SqlitePool,
    shard: Shard,
    after: EndpointId,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    let found: Vec<Stored<Endpoint>> = sqlx::query_as(
        "SELECT * FROM endpoints INDEXED BY endpoints_id
         WHERE shard = ? AND endpoint_id > ?
         ORDER BY endpoint_id
         LIMIT ?",
    )
    .bind(number(shard))
    .bind(after.to_string())
    .bind(sql_limit(limit))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    read_all(found)
}

pub(super) async fn events(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &EventFilter,
    before: EventId,
    limit: usize,
) -> Result<Found<Event, EventId>, StoreError> {
    let ulids = filter.accepted.ulids();
    let before = EventId::new(ulids.before(before.ulid()));
    let first = filter.accepted.start.map(|_| EventId::new(ulids.first));
    let walk = Walk { shard, organization, endpoint: None, before, first };
    let reach = walk.reach(readers, &EVENTS, filter.looks_at(limit)).await?;
    let floor = match reach {
        Reach::Foreign => return Ok(Found::nothing()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let least = floor.or(first);
    let query = select_events(shard, organization, filter, (before, least), limit);
    let rows = fetch::<Stored<Event>>(readers, query).await?;
    Ok(Found::of(rows, limit, floor, |row: &Event| row.id))
}

pub(super) fn select_events(
    shard: Shard,
    organization: &OrganizationId,
    filter: &EventFilter,
    (before, least): (EventId, Option<EventId>),
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT * FROM events WHERE TRUE");
    and_of(&mut query, shard, organization, "event_id <", before);
    and(&mut query, "event_id >=", least.map(|id| id.to_string()));
    and(&mut query, "event_type =", filter.event_type.map(|event_type| event_type.name()));
    and_within(&mut query, "create_time", filter.accepted);
    and(&mut query, "publisher =", filter.publisher.as_deref());
    query.push(" ORDER BY event_id DESC LIMIT ").push_bind(sql_limit(limit));
    query
}

pub(super) async fn deliveries(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &DeliveryFilter,
    before: DeliveryId,
    limit: usize,
) -> Result<Found<Delivery, DeliveryId>, StoreError> {
    let ulids = filter.scheduled.ulids();
    let before = DeliveryId::new(ulids.before(before.ulid()));
    let first = filter.scheduled.start.map(|_| DeliveryId::new(ulids.first));
    let walk = Walk { shard, organization, endpoint: filter.endpoint_id, before, first };
    let reach = walk.reach(readers, &DELIVERIES, filter.looks_at(limit)).await?;
    let floor = match reach {
        Reach::Foreign => return Ok(Found::nothing()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let least = floor.or(first);
    let query = select_deliveries(shard, organization, filter, (before, least), limit);
    let rows = fetch::<Stored<Delivery>>(readers, query).await?;
    Ok(Found::of(rows, limit, floor, |row: &Delivery| row.id))
}

pub(super) fn select_deliveries(
    shard: Shard,
    organization: &OrganizationId,
    filter: &DeliveryFilter,
    (before, least): (DeliveryId, Option<DeliveryId>),
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT * FROM deliveries ");
    match filter {
        DeliveryFilter { event_id: Some(_), .. } => query.push("INDEXED BY deliveries_event"),
        DeliveryFilter { endpoint_id: Some(_), .. } => query.push("INDEXED BY deliveries_endpoint"),
        _ => &mut query,
    };
    query.push(" WHERE TRUE");
    and_of(&mut query, shard, organization, "delivery_id <", before);
    and(&mut query, "delivery_id >=", least.map(|id| id.to_string()));
    and(&mut query, "event_id =", filter.event_id.map(|id| id.to_string()));
    and(&mut query, "endpoint_id =", filter.endpoint_id.map(|id| id.to_string()));
    and(&mut query, "event_type =", filter.event_type.map(|event_type| event_type.name()));
    and(&mut query, "state =", filter.state.map(|state| state.name()));
    and_within(&mut query, "create_time", filter.scheduled);
    query.push(" ORDER BY delivery_id DESC LIMIT ").push_bind(sql_limit(limit));
    query
}

pub(super) async fn attempts(
    readers: &SqlitePool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &AttemptFilter,
    before: AttemptId,
    limit: usize,
) -> Result<Found<Attempt, AttemptId>, StoreError> {
    let ulids = filter.begun.ulids();
    let before = AttemptId::new(ulids.before(before.ulid()));
    let first = filter.begun.start.map(|_| AttemptId::new(ulids.first));
    let walk = Walk { shard, organization, endpoint: filter.endpoint_id, before, first };
    let reach = walk.reach(readers, &ATTEMPTS, filter.looks_at(limit)).await?;
    let floor = match reach {
        Reach::Foreign => return Ok(Found::nothing()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let least = floor.or(first);
    let query = select_attempts(shard, organization, filter, (before, least), limit);
    let rows = fetch::<Stored<Attempt>>(readers, query).await?;
    Ok(Found::of(rows, limit, floor, |row: &Attempt| row.made.id))
}

pub(super) fn select_attempts(
    shard: Shard,
    organization: &OrganizationId,
    filter: &AttemptFilter,
    (before, least): (AttemptId, Option<AttemptId>),
    limit: usize,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT * FROM attempts ");
    match filter {
        AttemptFilter { delivery_id: Some(_), .. } => query.push("INDEXED BY attempts_delivery"),
        AttemptFilter { endpoint_id: Some(_), .. } => query.push("INDEXED BY attempts_endpoint"),
        _ => &mut query,
    };
    query.push(" WHERE TRUE");
    and_of(&mut query, shard, organization, "attempt_id <", before);
    and(&mut query, "attempt_id >=", least.map(|id| id.to_string()));
    and(&mut query, "delivery_id =", filter.delivery_id.map(|id| id.to_string()));
    and(&mut query, "endpoint_id =", filter.endpoint_id.map(|id| id.to_string()));
    and(&mut query, "event_type =", filter.event_type.map(|event_type| event_type.name()));
    and(&mut query, "outcome =", filter.outcome.map(|outcome| outcome.name()));
    and_within(&mut query, "start_time", filter.begun);
    query.push(" ORDER BY attempt_id DESC LIMIT ").push_bind(sql_limit(limit));
    query
}

pub(super) async fn attempt_counts(
    readers: &SqlitePool,
    shard: Shard,
    endpoint: EndpointId,
    from_hour: Timestamp,
) -> Result<Vec<(CountKey, u64)>, StoreError> {
    let found: Vec<Stored<(CountKey, u64)>> = sqlx::query_as(
        "SELECT endpoint_id, hour, outcome, duration_bucket, count
         FROM attempt_counts
         WHERE shard = ? AND endpoint_id = ? AND hour >= ?",
    )
    .bind(number(shard))
    .bind(endpoint.to_string())
    .bind(micros(from_hour))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    read_all(found)
}

pub(super) async fn missed_events(
    readers: &SqlitePool,
    shard: Shard,
    endpoint: EndpointId,
    after: Position,
    limit: usize,
) -> Result<Vec<Missed>, StoreError> {
    let found: Vec<Stored<Missed>> = sqlx::query_as(
        "SELECT organization_id, endpoint_id, event_id, position
         FROM missed_events
         WHERE shard = ? AND endpoint_id = ? AND position > ?
         ORDER BY position
         LIMIT ?",
    )
    .bind(number(shard))
    .bind(endpoint.to_string())
    .bind(after.0)
    .bind(sql_limit(limit))
    .fetch_all(readers)
    .await
    .map_err(failed)?;
    read_all(found)
}

/// The rows that a list's query finds.
pub(super) async fn fetch<Row>(
    readers: &SqlitePool,
    mut query: QueryBuilder<Sqlite>,
) -> Result<Vec<Row::Value>, StoreError>
where
    Row: ReadableRow + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let found = query.build_query_as::<Row>().fetch_all(readers).await;
    read_all(found.map_err(failed)?)
}

/// What every list begins with: an organization's rows below an id.
pub(super) fn and_of(
    query: &mut QueryBuilder<Sqlite>,
    shard: Shard,
    organization: &OrganizationId,
    below: &'static str,
    before: impl ToString,
) {
    and(query, "shard =", Some(number(shard)));
    and(query, "organization_id =", Some(organization.as_str()));
    and(query, below, Some(before.to_string()));
}

/// Adds a condition, if there is a value for it. `condition` is ours, never a caller's.
pub(super) fn and<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(
    query: &mut QueryBuilder<Sqlite>,
    condition: &'static str,
    value: Option<T>,
) {
    if let Some(value) = value {
        query.push(" AND ").push(condition).push(" ").push_bind(value);
    }
}

pub(super) fn and_within(
    query: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    interval: Interval,
) {
    if let Some(start) = interval.start {
        query.push(" AND ").push(column).push(" >= ").push_bind(micros(start));
    }
    if let Some(end) = interval.end {
        query.push(" AND ").push(column).push(" < ").push_bind(micros(end));
    }
}

//! Lists with filters: newest first, continued before an id. A filter that is not used is not
//! in the statement, so that each statement has the plan that suits it.

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
use crate::query::{AttemptFilter, DeliveryFilter, EndpointFilter, EventFilter, Interval};
use crate::store::StoreError;
use crate::tables::{Entity, Stored, Word, micros, read_all};

/// A statement that lists rows of one organization.
pub(super) struct List(pub(super) QueryBuilder<Postgres>);

impl List {
    pub(super) fn of<Row: Entity>(shard: Shard, organization: &OrganizationId) -> List {
        let (columns, table) = (Row::TABLE.read_columns(), Row::TABLE.name);
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
        .with_any("status =", filter.status.map(Word::word));
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
) -> Result<Vec<Event>, StoreError> {
    let mut query = List::of::<Event>(shard, organization)
        .with("event_id <", before.to_string())
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .within("create_time >=", "create_time <", filter.accepted)
        .with_any("publisher =", filter.publisher.as_deref())
        .newest_first("event_id", limit);
    read_all(fetch::<Stored<Event>>(readers, query.build_query_as()).await?)
}

pub(super) async fn list_deliveries(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &DeliveryFilter,
    before: DeliveryId,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let mut query = List::of::<Delivery>(shard, organization)
        .with("delivery_id <", before.to_string())
        .with_any("endpoint_id =", filter.endpoint_id.map(|id| id.to_string()))
        .with_any("event_id =", filter.event_id.map(|id| id.to_string()))
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .with_any("state =", filter.state.map(Word::word))
        .within("create_time >=", "create_time <", filter.scheduled)
        .newest_first("delivery_id", limit);
    read_all(fetch::<Stored<Delivery>>(readers, query.build_query_as()).await?)
}

pub(super) async fn list_attempts(
    readers: &Pool,
    shard: Shard,
    organization: &OrganizationId,
    filter: &AttemptFilter,
    before: AttemptId,
    limit: usize,
) -> Result<Vec<Attempt>, StoreError> {
    let mut query = List::of::<Attempt>(shard, organization)
        .with("attempt_id <", before.to_string())
        .with_any("endpoint_id =", filter.endpoint_id.map(|id| id.to_string()))
        .with_any("delivery_id =", filter.delivery_id.map(|id| id.to_string()))
        .with_any("event_type =", filter.event_type.map(|kind| kind.name()))
        .with_any("outcome =", filter.outcome.map(Word::word))
        .within("start_time >=", "start_time <", filter.begun)
        .newest_first("attempt_id", limit);
    read_all(fetch::<Stored<Attempt>>(readers, query.build_query_as()).await?)
}

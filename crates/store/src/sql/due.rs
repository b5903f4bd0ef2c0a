//! Deliveries that wait for an attempt, read in one snapshot with the shard's last position.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use sqlx::{ColumnIndex, Decode, FromRow, QueryBuilder, Row, Type};

use super::dialect::Dialect;
use super::limit::row_limit;
use crate::error::StoreError;
use crate::store::{DueKey, DuePage, WaitingEndpoints};
use crate::tables::{Cell, Entity, Stored, parse, read_all, time};

/// A row in the columns of `T`, `last_position` and `is_found`. If nothing was found, there is one
/// row for the position.
pub(crate) struct RowWithPosition<T> {
    last_position: i64,
    row: Option<T>,
}

impl<'row, R, T> FromRow<'row, R> for RowWithPosition<T>
where
    R: Row,
    T: FromRow<'row, R>,
    &'static str: ColumnIndex<R>,
    bool: Decode<'row, R::Database> + Type<R::Database>,
    i64: Decode<'row, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'row R) -> Result<Self, sqlx::Error> {
        let is_found: bool = row.try_get("is_found")?;
        let last_position = row.try_get("last_position")?;
        Ok(RowWithPosition { last_position, row: is_found.then(|| T::from_row(row)).transpose()? })
    }
}

fn split<T>(rows: Vec<RowWithPosition<T>>) -> (Position, Vec<T>) {
    let position = rows.first().map_or(Position::START, |row| Position(row.last_position));
    (position, rows.into_iter().filter_map(|row| row.row).collect())
}

/// The statement of a page of an endpoint's due deliveries. It is one statement, so that the page
/// and the position are of one snapshot.
pub(crate) fn select_due_page<DB: Dialect>(
    shard: Shard,
    endpoint: EndpointId,
    after: DueKey,
    limit: usize,
) -> QueryBuilder<DB> {
    let columns = Delivery::TABLE.read_columns();
    let mut query = QueryBuilder::new(format!(
        "SELECT shards.last_position, due.delivery_id IS NOT NULL AS is_found, due.*
         FROM shards
         LEFT JOIN (
             SELECT {columns}, due_time FROM deliveries"
    ));
    DB::by_index(&mut query, "deliveries_due");
    query.push(" WHERE shard = ");
    DB::bind_shard(&mut query, shard);
    query.push(" AND endpoint_id = ");
    DB::bind(&mut query, &Cell::from(endpoint));
    query.push(" AND due_time IS NOT NULL AND (due_time, delivery_id) > (");
    DB::bind(&mut query, &Cell::from(after.due_time));
    query.push(", ");
    DB::bind(&mut query, &Cell::from(after.delivery_id));
    query.push(") ORDER BY due_time, delivery_id LIMIT ");
    DB::bind(&mut query, &Cell::Integer(row_limit(limit)));
    query.push(") AS due ON TRUE WHERE shards.shard = ");
    DB::bind_shard(&mut query, shard);
    query.push(" ORDER BY due.due_time, due.delivery_id");
    query
}

pub(crate) fn due_page(
    rows: Vec<RowWithPosition<Stored<Delivery>>>,
) -> Result<DuePage, StoreError> {
    let (as_of, deliveries) = split(rows);
    Ok(DuePage { as_of, deliveries: read_all(deliveries)? })
}

/// Reads rows of an endpoint's id and its first due time.
pub(crate) fn waiting_endpoints(
    rows: Vec<RowWithPosition<(String, i64)>>,
) -> Result<WaitingEndpoints, StoreError> {
    let (as_of, rows) = split(rows);
    let endpoints = rows.into_iter().map(|(id, due_time)| {
        Ok::<(EndpointId, Timestamp), StoreError>((parse("endpoint", &id)?, time(due_time)?))
    });
    Ok(WaitingEndpoints { as_of, endpoints: endpoints.collect::<Result<_, _>>()? })
}

//! The tables that a batch or a rebuild reads and writes. A backend only says how rows are written,
//! deleted and looked up.
//!
//! Decision: docs/decisions/a-table-is-described-once.md

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_domain::request::RecordedRequest;

use super::{BODIES, Entity, OnConflict, Table, TableKey};
use crate::error::StoreError;
use crate::log::count_limit::CountOwner;
use crate::log::plan::Plan;
use crate::log::projection::{AffectedRows, Changes, LoadedRows, RequestOwner};
use crate::log::rows::{FailingEndpoint, PausedEndpoint};
use crate::queries::counts::{CountSelection, count_selections};
use crate::queries::selection::ErasedSelection;

/// Reads of one shard's tables. Each takes a bounded number of statements, whatever the number of
/// rows, and none if there are no rows.
pub(crate) trait TableReads: Send {
    /// The rows with these keys, as far as they exist.
    fn look_up<Row: Entity, RowKey: TableKey>(
        &mut self,
        keys: &[RowKey],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// How many rows of a selection have each value of a column of text. Values without rows are left
    /// out.
    fn count_by(
        &mut self,
        selection: &ErasedSelection,
        column: &'static str,
    ) -> impl Future<Output = Result<Vec<(String, i64)>, StoreError>> + Send;
}

/// Collects the writes to one shard's tables, which are then made together. No row is written twice,
/// so that their order does not matter.
pub(crate) trait TableWrites {
    fn write<Row: Sync>(
        &mut self,
        table: &Table<Row>,
        rows: &[&Row],
        on_conflict: OnConflict,
    ) -> Result<(), sqlx::Error>;

    /// Deletes the rows with these keys, as far as they exist.
    fn delete<Row: Entity, RowKey: TableKey>(&mut self, keys: &[RowKey])
    -> Result<(), sqlx::Error>;
}

/// Loads the affected rows, as far as they exist.
pub(crate) async fn load(
    tables: &mut impl TableReads,
    affected: &AffectedRows,
) -> Result<LoadedRows, StoreError> {
    fn by_id<Id: Eq + Hash, Row>(rows: Vec<Row>, id: impl Fn(&Row) -> Id) -> HashMap<Id, Row> {
        rows.into_iter().map(|row| (id(&row), row)).collect()
    }
    Ok(LoadedRows {
        endpoints: by_id(tables.look_up(&affected.endpoints).await?, |row: &Endpoint| row.id),
        deliveries: by_id(tables.look_up(&affected.deliveries).await?, |row: &Delivery| row.id),
        keys: by_id(tables.look_up(&affected.keys).await?, |row: &Key| row.id),
        replays: by_id(tables.look_up(&affected.replays).await?, |row: &Replay| row.id),
        channels: by_id(tables.look_up(&affected.channels).await?, |row: &Channel| row.id),
        notifications: by_id(
            tables.look_up(&affected.notifications).await?,
            |row: &Notification| row.id,
        ),
    })
}

/// Loads the recorded requests with these ids.
pub(crate) async fn load_requests(
    tables: &mut impl TableReads,
    ids: &[RequestOwner],
) -> Result<Vec<RecordedRequest>, StoreError> {
    tables.look_up(ids).await
}

/// Counts what limits are compared with: a statement for each kind of thing that is counted.
pub(crate) async fn load_counts(
    tables: &mut impl TableReads,
    wanted: &[CountOwner],
) -> Result<HashMap<CountOwner, u64>, StoreError> {
    let mut counts = HashMap::new();
    for CountSelection { rows, column, wanted } in count_selections(wanted) {
        let found: HashMap<_, _> = tables.count_by(&rows, column).await?.into_iter().collect();
        counts.extend(wanted.into_iter().map(|(value, owner)| {
            let count = found.get(&value).map_or(0, |count| count.unsigned_abs());
            (owner, count)
        }));
    }
    Ok(counts)
}

/// Writes the records, the bodies and the changes of a batch.
pub(crate) fn write_plan(
    tables: &mut impl TableWrites,
    plan: &Plan<'_>,
) -> Result<(), sqlx::Error> {
    insert(tables, plan.records.iter())?;
    tables.write(&BODIES, &plan.bodies, OnConflict::Fail)?;
    write_changes(tables, &plan.changes)
}

/// Writes the changes of the tables.
pub(crate) fn write_changes(
    tables: &mut impl TableWrites,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    // Taken apart, so that a new table is not forgotten. Of some the rows are made below.
    let Changes {
        endpoints,
        events,
        new_deliveries,
        changed_deliveries,
        attempts,
        missed,
        attempt_counts: _,
        health: _,
        pauses: _,
        keys,
        replays,
        channels,
        notifications,
        incidents: _,
        requests,
    } = changes;
    upsert(tables, endpoints.values())?;
    insert(tables, events.iter())?;
    insert(tables, new_deliveries.values())?;
    // Every row exists, so every one conflicts. In Postgres an UPDATE would leave the planner a
    // choice; in SQLite UPDATE … FROM (VALUES …) spends on the join what it saves in parameters.
    upsert(tables, changed_deliveries.values())?;
    insert(tables, attempts.iter())?;
    insert(tables, missed.iter())?;
    upsert(tables, changes.attempt_counts().iter())?;
    tables.delete::<FailingEndpoint, _>(&changes.recovered_endpoints())?;
    upsert(tables, changes.failing_endpoints().iter())?;
    write(tables, changes.failing_again().iter(), OnConflict::Replace)?;
    tables.delete::<PausedEndpoint, _>(&changes.ended_pauses())?;
    upsert(tables, changes.begun_pauses().iter())?;
    upsert(tables, keys.values())?;
    upsert(tables, replays.values())?;
    upsert(tables, channels.values())?;
    upsert(tables, notifications.values())?;
    upsert(tables, changes.incidents().iter())?;
    upsert(tables, requests.values())
}

/// Inserts rows, none of which exists.
fn insert<'a, Row: Entity>(
    tables: &mut impl TableWrites,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<(), sqlx::Error> {
    write(tables, rows, OnConflict::Fail)
}

fn upsert<'a, Row: Entity>(
    tables: &mut impl TableWrites,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<(), sqlx::Error> {
    write(tables, rows, OnConflict::Update)
}

fn write<'a, Row: Entity>(
    tables: &mut impl TableWrites,
    rows: impl Iterator<Item = &'a Row>,
    on_conflict: OnConflict,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = rows.collect();
    tables.write(&Row::TABLE, &rows, on_conflict)
}

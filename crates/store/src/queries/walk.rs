//! Lists that walk an index and examine a limited number of its rows, whether they match or not.
//!
//! The id of the last row to examine is found first, in the index alone. It then is one more
//! condition of the statement that reads the rows: a value and no subquery, so that the databases see
//! how few rows lie between.

use std::str::FromStr;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use ulid::Ulid;

use super::interval::Interval;
use super::list_page::ListPage;
use super::selection::Selection;
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::{Entity, StoredRow};

/// A request for a page of a list.
pub(super) struct List<Row, Id> {
    /// The interval that the filter names.
    pub(super) interval: Interval,
    /// The page begins below this id.
    pub(super) before: Ulid,
    /// How many rows of the index are examined. None: not limited.
    pub(super) examined_rows: Option<usize>,
    pub(super) limit: usize,
    /// The column of the ids.
    pub(super) id: &'static str,
    pub(super) id_of: fn(&Row) -> Id,
    pub(super) make_id: fn(Ulid) -> Id,
}

/// Lists rows of an organization, newest first. Both functions get the id that the list begins before
/// and the least id that may match. `walk` selects the owners and ids of the index to walk, `listed`
/// the rows that match.
pub(super) async fn list<Row: Entity, Id: FromStr + Copy>(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    list: List<Row, Id>,
    walk: impl FnOnce(Id, Option<Id>) -> Selection<Row>,
    listed: impl FnOnce(Id, Option<Id>) -> Selection<Row>,
) -> Result<ListPage<Row, Id>, StoreError> {
    let List { interval, before, examined_rows, limit, id, id_of, make_id } = list;
    let ulids = interval.ulids();
    let before = make_id(ulids.before(before));
    let first = interval.start.map(|_| make_id(ulids.first));
    let floor = match walk_end(store, shard, organization, (walk(before, first), id), examined_rows)
        .await?
    {
        WalkEnd::Foreign => return Ok(ListPage::empty()),
        WalkEnd::Until(floor) => Some(floor),
        WalkEnd::End => None,
    };
    let rows = store.selected(shard, listed(before, floor.or(first)).limit(limit)).await?;
    Ok(ListPage::new(rows, limit, floor, id_of))
}

/// Where the rows end that a list examines next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalkEnd<Id> {
    /// At this id; there may be more.
    Until(Id),
    /// At the end of the list.
    End,
    /// The rows belong to another organization.
    Foreign,
}

/// The last of the next `rows` rows of a walk.
pub(crate) fn last<Row: Entity>(walk: Selection<Row>, rows: usize) -> Selection<Row> {
    walk.skip(rows.saturating_sub(1)).limit(1)
}

/// Where the next `rows` rows of a walk end. The walk selects the owner and the column `id`. `rows` is
/// None if they are not limited.
async fn walk_end<Row: Entity, Id: FromStr>(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    (walk, id): (Selection<Row>, &'static str),
    rows: Option<usize>,
) -> Result<WalkEnd<Id>, StoreError> {
    let Some(rows) = rows else { return Ok(WalkEnd::End) };
    let row = store.select(shard, last(walk, rows).erased()).await?;
    let row = row.map(|row| Ok((row.text("organization_id")?, row.parsed(id)?)))?.pop();
    Ok(match row {
        None => WalkEnd::End,
        Some((owner, _)) if owner != organization.as_str() => WalkEnd::Foreign,
        Some((_, id)) => WalkEnd::Until(id),
    })
}

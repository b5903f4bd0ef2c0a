//! Where the rows end that a list looks at.
//!
//! A list looks at so many rows of an index at most, whether they match or not. The id at which
//! those end is found first, in the index alone, and is one more condition of the statement that
//! reads them: a value there and no subquery, so that the databases see how little lies between.

use std::str::FromStr;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use ulid::Ulid;

use super::filters::Interval;
use super::list_page::ListPage;
use super::selection::Selection;
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::{Entity, StoredRow};

/// What a list that goes through an index is asked for.
pub(super) struct List<Row, Id> {
    /// When what is wanted happened.
    pub(super) interval: Interval,
    /// Where the list goes on.
    pub(super) before: Ulid,
    /// How many rows of the index are looked at. None: as many as are found.
    pub(super) looks_at: Option<usize>,
    pub(super) limit: usize,
    /// The column of the ids.
    pub(super) id: &'static str,
    pub(super) id_of: fn(&Row) -> Id,
    pub(super) make_id: fn(Ulid) -> Id,
}

/// Lists rows of an organization, newest first. Both selections are given the id that they begin
/// before and the least that is wanted: `walk` selects the owners and the ids of the index that the
/// list goes through, `listed` what matches.
pub(super) async fn list<Row: Entity, Id: FromStr + Copy>(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    list: List<Row, Id>,
    walk: impl FnOnce(Id, Option<Id>) -> Selection<Row>,
    listed: impl FnOnce(Id, Option<Id>) -> Selection<Row>,
) -> Result<ListPage<Row, Id>, StoreError> {
    let List { interval, before, looks_at, limit, id, id_of, make_id } = list;
    let ulids = interval.ulids();
    let before = make_id(ulids.before(before));
    let first = interval.start.map(|_| make_id(ulids.first));
    let floor = match reach(store, shard, organization, (walk(before, first), id), looks_at).await?
    {
        Reach::Foreign => return Ok(ListPage::empty()),
        Reach::Until(floor) => Some(floor),
        Reach::End => None,
    };
    let rows = store.selected(shard, listed(before, floor.or(first)).limit(limit)).await?;
    Ok(ListPage::new(rows, limit, floor, id_of))
}

/// Where the rows end that a list looks at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach<Id> {
    /// At this one, and there may be more.
    Until(Id),
    /// At the list's end.
    End,
    /// They are another organization's.
    Foreign,
}

/// The last of the next `rows` rows of a walk, which selects the owner and `id`, newest first.
pub(crate) fn last<Row: Entity>(walk: Selection<Row>, rows: usize) -> Selection<Row> {
    walk.skip(rows.saturating_sub(1)).limit(1)
}

/// Where the next `rows` rows of a walk end. None: they are not limited.
async fn reach<Row: Entity, Id: FromStr>(
    store: &dyn Store,
    shard: Shard,
    organization: &OrganizationId,
    (walk, id): (Selection<Row>, &'static str),
    rows: Option<usize>,
) -> Result<Reach<Id>, StoreError> {
    let Some(rows) = rows else { return Ok(Reach::End) };
    let found = store.select(shard, last(walk, rows).erased()).await?;
    let found = found.map(|row| Ok((row.text("organization_id")?, row.parsed(id)?)))?.pop();
    Ok(match found {
        None => Reach::End,
        Some((owner, _)) if owner != organization.as_str() => Reach::Foreign,
        Some((_, id)) => Reach::Until(id),
    })
}

//! Where the rows end that a list looks at.
//!
//! A list looks at so many rows of an index at most, whether they match or not. The id at which
//! those end is found first, in the index alone, and is one more condition of the statement that
//! reads them: a value there and no subquery, so that the databases see how little lies between.

use std::str::FromStr;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;

use super::selection::Selection;
use crate::error::StoreError;
use crate::store::Store;
use crate::tables::{Entity, StoredRow};

/// Where the rows end that a list looks at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach<Id> {
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
pub(super) async fn reach<Row: Entity, Id: FromStr>(
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

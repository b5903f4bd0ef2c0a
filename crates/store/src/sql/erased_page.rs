//! A page of an organization's bodies, erased.
//!
//! The id of a body does not name the organization. So an erasure goes through the organization's
//! events first and its attempts then, a page at a time, and deletes the bodies of these.

use keeptrusts_webhooks_domain::ids::{AttemptId, EventId};

use super::limit::row_limit;
use crate::error::StoreError;
use crate::log::operation::BodyId;
use crate::store::ErasedBodies;
use crate::tables::parse;

/// The table whose rows name the organization of the bodies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerTable {
    Events,
    Attempts,
}

impl OwnerTable {
    pub(crate) fn of(body: BodyId) -> OwnerTable {
        match body {
            BodyId::Event(_) => OwnerTable::Events,
            BodyId::Attempt(_) => OwnerTable::Attempts,
        }
    }
}

/// Where an erasure begins.
pub(crate) const FIRST: BodyId = BodyId::Event(EventId::MIN);

/// What the statements of a page answer with.
pub(crate) struct ErasedPage {
    /// How many events or attempts are on the page.
    pub(crate) examined: i64,
    pub(crate) deleted: u64,
    /// The id of the last event or attempt on the page.
    pub(crate) last: Option<String>,
}

impl ErasedPage {
    /// Finds out where the next page begins.
    pub(crate) fn read(self, table: OwnerTable, limit: usize) -> Result<ErasedBodies, StoreError> {
        let next = match self.last {
            Some(last) if self.examined == row_limit(limit) => Some(parse("body", &last)?),
            // The page was the table's last one.
            _ => match table {
                OwnerTable::Events => Some(BodyId::Attempt(AttemptId::MIN)),
                OwnerTable::Attempts => None,
            },
        };
        Ok(ErasedBodies {
            examined: usize::try_from(self.examined).unwrap_or(0),
            deleted: usize::try_from(self.deleted).unwrap_or(0),
            next,
        })
    }
}

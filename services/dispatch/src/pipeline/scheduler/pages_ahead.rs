//! Pages that were fetched from the database ahead of the log's tail.
//!
//! Decision: docs/decisions/queues-keep-their-beginning-in-memory.md

use std::collections::VecDeque;

use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_store::DueKey;

/// The pages that are still ahead of the log's tail: a delivery on one of them must not be taken
/// for new when the tail comes to its record.
///
/// A page shows what is above `after` as of a position. Pages are kept in ascending order of both:
/// a page that was fetched later and from further below shows all that an earlier one does.
#[derive(Debug, Default)]
pub(super) struct PagesAhead(VecDeque<(Position, DueKey)>);

impl PagesAhead {
    pub(super) fn add(&mut self, as_of: Position, after: DueKey) {
        while self.0.back().is_some_and(|(_, earlier)| *earlier >= after) {
            self.0.pop_back();
        }
        self.0.push_back((as_of, after));
    }

    pub(super) fn contains(&self, position: Position, key: DueKey) -> bool {
        let first = self.0.partition_point(|(as_of, _)| *as_of < position);
        self.0.get(first).is_some_and(|(_, after)| key > *after)
    }

    pub(super) fn forget_up_to(&mut self, position: Position) {
        while self.0.front().is_some_and(|(as_of, _)| *as_of < position) {
            self.0.pop_front();
        }
    }

    pub(super) fn is_up_to(&self, position: Position) -> bool {
        self.0.back().is_none_or(|(as_of, _)| *as_of <= position)
    }
}

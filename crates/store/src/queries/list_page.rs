//! A page of a list.

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<Row, Id> {
    /// Newest first.
    pub rows: Vec<Row>,
    /// The last row that was examined, whether it is in the page or not: the next page begins before
    /// it. None: the list ends here.
    pub next: Option<Id>,
}

impl<Row, Id> ListPage<Row, Id> {
    /// A page of at most `limit` rows. `floor` is the last row that was examined; a full page ends
    /// before it.
    pub(crate) fn new(
        rows: Vec<Row>,
        limit: usize,
        floor: Option<Id>,
        id: impl FnOnce(&Row) -> Id,
    ) -> ListPage<Row, Id> {
        let next = match rows.last() {
            Some(last) if rows.len() >= limit => Some(id(last)),
            _ => floor,
        };
        ListPage { rows, next }
    }

    /// Where the next page begins if only the first `count` rows are in this one.
    pub fn next_after(&self, count: usize, id: impl FnOnce(&Row) -> Id) -> Option<Id>
    where
        Id: Copy,
    {
        match self.rows.get(..count) {
            Some(first) if count < self.rows.len() => first.last().map(id),
            _ => self.next,
        }
    }

    /// No rows, and no further page.
    pub(crate) fn empty() -> ListPage<Row, Id> {
        ListPage { rows: Vec::new(), next: None }
    }
}

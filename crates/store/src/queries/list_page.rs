//! What a list has found.

/// What a list has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<Row, Id> {
    /// Newest first.
    pub rows: Vec<Row>,
    /// What was looked at ends here, whether it is one of the rows or not: the list goes on before
    /// it. None: nothing comes after.
    pub next: Option<Id>,
}

impl<Row, Id> ListPage<Row, Id> {
    /// At most `limit` rows. `floor`: what was looked at ended there, unless the rows did before.
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

    /// Nothing, and nothing after it.
    pub(crate) fn empty() -> ListPage<Row, Id> {
        ListPage { rows: Vec::new(), next: None }
    }
}

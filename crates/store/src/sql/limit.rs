//! The parameter of LIMIT.

/// The most rows that a statement may answer with, as both databases take it.
pub(crate) fn row_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

//! What an entity says of its table.

use super::stored_row::StoredRow;
use super::table::Table;
use crate::error::StoreError;

/// A type whose values are the rows of a table.
pub(crate) trait Entity: Sized + Send + Sync + Unpin + 'static {
    const TABLE: Table<Self>;

    fn read(row: &impl StoredRow) -> Result<Self, StoreError>;
}

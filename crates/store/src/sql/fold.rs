//! One step of a rebuild or a check.

use crate::error::StoreError;
use crate::log::operation::Record;
use crate::log::projection::{AffectedRows, Changes, Fold};
use crate::tables::{self, TableTransaction};

/// Loads the rows that the records touch and folds the records into them. Answers with what is to
/// be written.
pub(crate) async fn fold_records(
    tables: &mut impl TableTransaction,
    records: &[Record],
) -> Result<Changes, StoreError> {
    let facts = records.iter().map(|record| (&record.organization_id, record.stream, &record.fact));
    let loaded = tables::load(tables, &AffectedRows::of(facts)).await?;
    let mut fold = Fold::new(loaded);
    records.iter().try_for_each(|record| fold.apply(record))?;
    Ok(fold.into_changes())
}

//! `attempt_counts`: counts of attempts, for statistics.

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;
use crate::log::projection::CountKey;

type Column = super::Column<(CountKey, u64)>;

impl Entity for (CountKey, u64) {
    const TABLE: Table<(CountKey, u64)> = Table {
        name: "attempt_counts",
        columns: &[
            Column::text("endpoint_id", |(key, _)| Cell::shown(key.endpoint_id)).key(),
            Column::integer("hour", |(key, _)| key.hour.into()).key(),
            Column::text("outcome", |(key, _)| key.outcome.name().into()).key(),
            Column::small("duration_bucket", |(key, _)| key.duration_bucket.into()).key(),
            Column::integer("count", |(_, count)| (*count).into()).added(),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<(CountKey, u64), StoreError> {
        let key = CountKey {
            endpoint_id: row.parsed("endpoint_id")?,
            hour: row.time("hour")?,
            outcome: row.word("outcome")?,
            duration_bucket: row.small_number("duration_bucket")?,
        };
        Ok((key, row.number("count")?))
    }
}

//! `requests`: the last request with each id that callers have given one.
//!
//! Decision: docs/decisions/a-repeated-request-is-decided-in-the-log.md

use keeptrusts_webhooks_domain::request::{
    IdentifiedRequest, RecordedRequest, RequestDigest, RequestId,
};

use super::{Cell, Entity, StoredRow, Table, unreadable};
use crate::error::StoreError;

type Column = super::Column<RecordedRequest>;

impl Entity for RecordedRequest {
    const TABLE: Table<RecordedRequest> = Table {
        name: "requests",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("request_id", |row| row.request.id.as_str().into()).key(),
            Column::bytes("request_sha256", |row| (&row.request.digest.0).into()),
            Column::text("stream", |row| Cell::shown(row.stream)),
            Column::integer("recorded_at", |row| row.time.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<RecordedRequest, StoreError> {
        let id = RequestId::optional(row.text("request_id")?);
        let id = id.map_err(|violation| unreadable("request_id", violation))?;
        let id = id.ok_or_else(|| unreadable("request_id", "is empty"))?;
        let digest = RequestDigest(row.sha256("request_sha256")?);
        Ok(RecordedRequest {
            organization_id: row.parsed("organization_id")?,
            request: IdentifiedRequest { id, digest },
            stream: row.parsed("stream")?,
            time: row.time("recorded_at")?,
        })
    }
}

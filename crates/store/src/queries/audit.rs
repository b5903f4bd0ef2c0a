//! Queries of the audit trail.

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Shard};

use super::filters::AuditFilter;
use super::list_page::ListPage;
use super::selection::Selection;
use super::walk;
use crate::error::StoreError;
use crate::log::operation::Record;
use crate::store::Store;
use crate::tables::StoredRow;

impl dyn Store + '_ {
    /// The records of an organization's audit trail, newest first, below a position. As with
    /// [events](Self::list_events), a limited number of them is examined.
    pub async fn list_audit_records(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        before: Position,
        limit: usize,
    ) -> Result<ListPage<Record, Position>, StoreError> {
        let floor = match filter.examined_rows(limit) {
            Some(rows) => {
                let last = walk::last(trail(organization, before), rows);
                let row = self.select(shard, last.erased()).await?;
                row.map(|row| row.position("position"))?.pop()
            }
            None => None,
        };
        let range = (before, floor);
        let rows = self.audit_records(shard, organization, filter, range, limit).await?;
        Ok(ListPage::new(rows, limit, floor, |record: &Record| record.position))
    }
}

/// The positions of an organization's trail below `before`, newest first.
pub(crate) fn trail(organization: &OrganizationId, before: Position) -> Selection<Record> {
    Selection::new()
        .columns(&["position"])
        .by_index("records_audit")
        .not_null("audit_action")
        .equal("organization_id", organization)
        .less("position", before)
        .descending(&["position"])
}

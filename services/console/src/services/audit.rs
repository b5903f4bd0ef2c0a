//! AuditService.

use keeptrusts_webhooks_contracts::v1;
use tonic::Status;

use super::OrganizationClient;

/// Calls for one page of ours. A page of the trail may hold fewer entries than it has room for, or
/// none, so several may be needed; after these, the page is shown as it is.
const MAX_CALLS_A_PAGE: usize = 10;

impl OrganizationClient {
    /// What was done, newest first, in pages that are usually full.
    pub(crate) async fn audit_entries(
        &self,
        filter: v1::ListAuditEntriesRequest,
    ) -> Result<v1::ListAuditEntriesResponse, Status> {
        let mut gathered = v1::ListAuditEntriesResponse {
            entries: Vec::new(),
            next_page_token: filter.page_token.clone(),
        };
        for _ in 0..MAX_CALLS_A_PAGE {
            let request = v1::ListAuditEntriesRequest {
                organization_id: self.id.clone(),
                page_size: filter.page_size - gathered.entries.len() as i32,
                page_token: gathered.next_page_token,
                ..filter.clone()
            };
            let mut client = self.services.audit.clone();
            let answer =
                client.list_audit_entries(self.with_credentials(request)).await?.into_inner();
            gathered.entries.extend(answer.entries);
            gathered.next_page_token = answer.next_page_token;
            let is_full = gathered.entries.len() >= filter.page_size as usize;
            if is_full || gathered.next_page_token.is_empty() {
                break;
            }
        }
        Ok(gathered)
    }
}

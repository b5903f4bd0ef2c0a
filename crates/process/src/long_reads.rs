//! Permits for reads that may take long. Each organization has few, so that one organization's
//! lists and statistics leave the database to the others.
//!
//! Decision: docs/decisions/long-reads-have-a-budget.md

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_store::{Log, Permit, TooManyLongReads};
use tonic::Status;

/// Waits for a permit. RESOURCE_EXHAUSTED if too many of the organization's reads are waiting
/// already, or if this one has waited too long.
pub async fn acquire(log: &Log, organization: &OrganizationId) -> Result<Permit, Status> {
    let permit = log.long_reads().take(organization).await;
    permit.map_err(|TooManyLongReads { retry_delay }| {
        let message = "too many long reads of the organization are under way: try again later, or ask for less at a time";
        status::resource_exhausted_for(retry_delay, Reason::Overloaded, message)
    })
}

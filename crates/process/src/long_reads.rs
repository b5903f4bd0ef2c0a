//! Permits for reads that may take long. Each organization has few, so that one organization's
//! lists and statistics leave the database to the others.
//!
//! Decision: docs/decisions/long-reads-have-a-budget.md

use keeptrusts_webhooks_contracts::api::View;
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

/// The permit of a page of a list: a page with headers and bodies is a long read from its beginning.
/// Another one has its permit when the answer is awaited.
pub async fn of_page<'a>(
    log: &'a Log,
    organization: &'a OrganizationId,
    view: View,
) -> Result<impl Future<Output = Result<Permit, Status>> + 'a, Status> {
    let held = match view {
        View::Full => Some(acquire(log, organization).await?),
        View::Basic => None,
    };
    Ok(async move {
        match held {
            Some(permit) => Ok(permit),
            None => acquire(log, organization).await,
        }
    })
}

//! Where the watches of an organization begin.

use keeptrusts_webhooks_contracts::api::{ResumePoint, invalid_resume_token};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_process::database_errors;
use tonic::Status;

use super::dispatch_api::DispatchApi;

impl DispatchApi {
    /// The position after which a watch begins. INVALID_ARGUMENT: the organization has no record to
    /// resume at.
    pub(super) async fn watch_after(
        &self,
        organization: &OrganizationId,
        resume: Option<ResumePoint>,
    ) -> Result<Position, Status> {
        let shard = self.log.shard_of(organization);
        let Some(ResumePoint { record, is_finished }) = resume else {
            return Ok(*self.log.watch(shard).borrow());
        };
        let position = self.log.position_of(shard, organization, record).await;
        let at = position.map_err(database_errors::query_failed)?;
        let at = at.ok_or_else(|| status::invalid_argument(vec![invalid_resume_token()]))?;
        Ok(if is_finished { at } else { Position(at.0 - 1) })
    }
}

//! Executes commands on endpoints: the domain decides, the log records the fact.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_process::declarative_resource::DeclarativeResource;
use keeptrusts_webhooks_process::log_writer::WriteError;

use crate::api::EndpointApi;

impl EndpointApi {
    /// Executes a command and returns the endpoint after it. An etag must be the current one.
    pub(crate) async fn execute(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        command: EndpointCommand,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> Result<Endpoint, WriteError> {
        let changed = self.execute_if_exists(organization, id, command, etag, metadata).await?;
        changed.ok_or_else(|| status::not_found(Resource::Endpoint, id).into())
    }
}

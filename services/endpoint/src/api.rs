//! The state of the endpoint service, and what its handlers share.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1::endpoint_service_server::EndpointServiceServer;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::{database_errors, refused_requests};
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log};
use tonic::Status;

use crate::flags::EndpointFlags;
use crate::rendering_limits::{MAX_WAITING, METRIC_NAME};

pub struct EndpointApi {
    pub(crate) log: Arc<Log>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Clock,
    max_endpoints: u32,
    pub(crate) renderer: Renderer,
}

impl EndpointApi {
    pub fn server(
        log: Arc<Log>,
        keyring: Arc<Keyring>,
        clock: Clock,
        flags: &EndpointFlags,
    ) -> EndpointServiceServer<Self> {
        let max_endpoints = flags.max_endpoints_per_organization;
        let limits = RendererLimits::of_this_machine(Some(MAX_WAITING));
        let renderer = Renderer::new(limits);
        refused_requests::register(METRIC_NAME);
        EndpointServiceServer::new(EndpointApi { log, keyring, clock, max_endpoints, renderer })
            .max_decoding_message_size(NO_DECODING_LIMIT)
    }

    /// Endpoints that are created at the same moment do not see each other, so that together they
    /// may exceed the limit.
    pub(crate) async fn refuse_if_full(&self, organization: &OrganizationId) -> Result<(), Status> {
        let shard = self.log.shard_of(organization);
        let count = self.log.store().count_endpoints(shard, organization).await;
        if count.map_err(database_errors::query_failed)? < u64::from(self.max_endpoints) {
            return Ok(());
        }
        let message = format!(
            "the organization has {} endpoints and may not have more: delete some, or ask an operator for a larger --max-endpoints-per-organization",
            self.max_endpoints
        );
        Err(status::resource_exhausted(Reason::TooManyEndpoints, message))
    }

    pub(crate) async fn read(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Endpoint, Status> {
        let existing = self.existing(organization, id).await?;
        existing.ok_or_else(|| status::not_found(Resource::Endpoint, id))
    }

    /// An endpoint, unless it was deleted.
    pub(crate) async fn existing(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, Status> {
        let shard = self.log.shard_of(organization);
        let endpoint = self.log.store().endpoint(shard, organization, id).await;
        let endpoint = endpoint.map_err(database_errors::query_failed)?;
        Ok(endpoint.filter(|endpoint| endpoint.delete_time.is_none()))
    }
}

//! The state of the API, and what several of its methods share.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::DeliveryRef;
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1::dispatch_service_server::DispatchServiceServer;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointState};
use keeptrusts_webhooks_domain::fact::DeliveryFact;
use keeptrusts_webhooks_domain::ids::{DeliveryId, EndpointId, OrganizationId};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::log_writer::{LogWriter, WriteError};
use keeptrusts_webhooks_process::request_outcome::RequestOutcome;
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::{Clock, Log};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::changes::WatchedOrganizations;

/// The gRPC service. Any replica answers, whoever owns the shard.
pub struct DispatchApi {
    pub(super) log: Arc<Log>,
    pub(super) clock: Clock,
    pub(super) body_retention: Duration,
    pub(super) watched: WatchedOrganizations,
    /// For watches, which must not delay deliveries. Each renders one event at a time.
    pub(super) renderer: Renderer,
    /// Ends waits for a test's outcome, which would otherwise delay a shutdown.
    pub(super) shutdown: CancellationToken,
}

impl DispatchApi {
    /// The service on a log. Bodies of tests are kept for `body_retention`; `shutdown` ends waits
    /// for their outcomes.
    pub fn server(
        log: Arc<Log>,
        clock: Clock,
        body_retention: Duration,
        shutdown: CancellationToken,
    ) -> DispatchServiceServer<Self> {
        let watched = WatchedOrganizations::default();
        let renderer = Renderer::new(RendererLimits::of_this_machine(None));
        let api = DispatchApi { log, clock, body_retention, watched, renderer, shutdown };
        DispatchServiceServer::new(api).max_decoding_message_size(NO_DECODING_LIMIT)
    }

    pub(super) async fn delivery(
        &self,
        organization: &OrganizationId,
        id: DeliveryId,
    ) -> Result<Delivery, Status> {
        let shard = self.log.shard_of(organization);
        let delivery = self.log.store().deliveries(shard, organization, &[id]).await;
        let delivery = delivery.map_err(database_errors::query_failed)?.pop();
        delivery.ok_or_else(|| status::not_found(Resource::Delivery, id))
    }

    /// An endpoint, unless it was deleted. Error: it is disabled.
    pub(super) async fn open_endpoint(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, Status> {
        let existing = self.existing_endpoint(organization, id).await?;
        existing.as_ref().map_or(Ok(()), check_enabled)?;
        Ok(existing)
    }

    /// An endpoint, unless it was deleted.
    pub(super) async fn existing_endpoint(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, Status> {
        let shard = self.log.shard_of(organization);
        let endpoint = self.log.store().endpoint(shard, organization, id).await;
        let endpoint = endpoint.map_err(database_errors::query_failed)?;
        Ok(endpoint.filter(|endpoint| endpoint.delete_time.is_none()))
    }

    /// Appends a request for the shard's owner; returns the delivery after it. `allowed` checks the
    /// same state of the delivery that the request follows.
    pub(super) async fn append_request(
        &self,
        DeliveryRef { organization_id, delivery_id }: &DeliveryRef,
        fact: DeliveryFact,
        metadata: impl Fn(&Delivery) -> Metadata,
        allowed: impl Fn(&Delivery) -> Result<(), Status>,
    ) -> Result<Delivery, WriteError> {
        // An attempt may end at the same moment.
        let decide = || async {
            let delivery = self.delivery(organization_id, *delivery_id).await?;
            allowed(&delivery)?;
            Ok((delivery, Some(fact.clone())))
        };
        self.writer(organization_id).change(decide, metadata).await
    }

    pub(super) fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }

    pub(super) fn next_outcome<'a>(
        &'a self,
        organization: &'a OrganizationId,
    ) -> RequestOutcome<'a> {
        RequestOutcome::of_next_request(&self.log, organization, &self.shutdown)
    }
}

pub(super) fn check_enabled(endpoint: &Endpoint) -> Result<(), Status> {
    match endpoint.state {
        EndpointState::Disabled => Err(status::failed_precondition(
            Reason::EndpointDisabled,
            "the endpoint is disabled and is sent nothing: enable it first",
        )),
        EndpointState::Active | EndpointState::Degraded => Ok(()),
    }
}

//! The endpoint service: management of endpoints. Each change is a decision of the domain, a
//! fact in the log, and what the log's projection then says.

mod commands;
pub mod flags;
mod payloads;
mod secrets;
mod shown;

use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, CreateEndpoint, DeleteEndpoint, DisableEndpoint, EndpointRef, ListChunk,
    ListEndpoints, ListEventTypes, PreviewPayload, RotateSecret, UpdateEndpoint,
};
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::endpoint_service_server::{
    EndpointService, EndpointServiceServer,
};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_process::{answer, refusals};
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::queries::EndpointFilter;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, ExpectedVersion, Log, NewRecord, new_ulid};
use tonic::{Request, Response, Status};

use crate::flags::EndpointFlags;

/// The gRPC service.
pub struct EndpointApi {
    log: Arc<Log>,
    keyring: Arc<Keyring>,
    clock: Clock,
    max_endpoints: u32,
    renderer: Renderer,
}

impl EndpointApi {
    /// The service on a log; `keyring` seals and opens the endpoints' secrets, of which an
    /// organization may have so many as the flags say.
    pub fn server(
        log: Arc<Log>,
        keyring: Arc<Keyring>,
        clock: Clock,
        flags: &EndpointFlags,
    ) -> EndpointServiceServer<Self> {
        let max_endpoints = flags.max_endpoints_per_organization;
        let limits = RendererLimits::of_this_machine(Some(payloads::MAX_WAITING));
        let renderer = Renderer::new(limits);
        refusals::begin(payloads::RENDERINGS);
        EndpointServiceServer::new(EndpointApi { log, keyring, clock, max_endpoints, renderer })
            .max_decoding_message_size(UNLIMITED_HERE)
    }

    /// Those that are created at the same moment do not see each other, and may exceed the limit
    /// by their number.
    async fn refuse_if_full(&self, organization: &OrganizationId) -> Result<(), Status> {
        let shard = self.log.shard_of(organization);
        let count = self.log.store().count_endpoints(shard, organization).await;
        if count.map_err(answer::query_failed)? < u64::from(self.max_endpoints) {
            return Ok(());
        }
        let message = format!(
            "the organization has {} endpoints and may not have more: delete some, or ask an operator for a larger --max-endpoints-per-organization",
            self.max_endpoints
        );
        Err(status::resource_exhausted(Reason::TooManyEndpoints, message))
    }

    async fn read(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Endpoint, Status> {
        let shard = self.log.shard_of(organization);
        let found = self.log.store().endpoint(shard, organization, id).await;
        let found = found.map_err(answer::query_failed)?;
        let existing = found.filter(|endpoint| endpoint.delete_time.is_none());
        existing.ok_or_else(|| status::not_found(Resource::Endpoint, id))
    }
}

#[tonic::async_trait]
impl EndpointService for EndpointApi {
    async fn create_endpoint(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Result<Response<v1::CreateEndpointResponse>, Status> {
        let call = AuthorizedRequest::<CreateEndpoint>::of(request)?;
        let id = EndpointId::new(new_ulid((self.clock)()));
        let metadata = call.metadata(id);
        let CreateEndpoint { organization_id, config, secret } = call.request;
        payloads::check_template(
            &self.renderer,
            &config.payload_format,
            PayloadFields::TOP,
            &organization_id,
            &config.event_types,
        )
        .await?;
        self.refuse_if_full(&organization_id).await?;
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal(&organization_id, id, &secret).await?;
        let key = config.payload_format.routing_key();
        let key = self.seal_routing_key(&organization_id, id, key).await?;
        // A format that has a key has had it sealed.
        let format = config.payload_format.clone().with_key(key).ok_or_else(status::internal)?;
        let config = config.with_payload_format(format);
        let record = NewRecord {
            stream: Stream::Endpoint(id),
            expected: ExpectedVersion::New,
            fact: Fact::Endpoint(EndpointFact::Created {
                config: config.clone(),
                secret: sealed.clone(),
            }),
        };
        let (_, recorded_at) = self.writer(&organization_id).append(record, metadata).await?;
        let endpoint = Endpoint::created(id, organization_id, config, sealed, recorded_at);
        Ok(Response::new(v1::CreateEndpointResponse {
            endpoint: Some((&endpoint).into()),
            secret: secret.expose().to_owned(),
            standard_webhooks_secret: secret.standard_form().to_string(),
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Result<Response<v1::GetEndpointResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let EndpointRef { organization_id, endpoint_id } = call.request;
        let endpoint = self.read(&organization_id, endpoint_id).await?;
        Ok(Response::new(v1::GetEndpointResponse { endpoint: Some(self.shown(&endpoint).await?) }))
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let call = AuthorizedRequest::<ListEndpoints>::of(request)?;
        let ListEndpoints { organization_id, page, status, search } = call.request;
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let (organization, filter) = (&organization_id, &EndpointFilter { status, search });
        let read = |before, limit| async move {
            let endpoints = store.list_endpoints(shard, organization, filter, before, limit).await;
            let endpoints = endpoints.map_err(answer::query_failed)?;
            let shown = self.all_shown(organization, &endpoints).await?;
            let things = endpoints.iter().map(|endpoint| endpoint.id).zip(shown).collect();
            Ok::<_, Status>(ListChunk::of_all(things, limit))
        };
        let turn = answer::long_read(&self.log, organization);
        let (endpoints, next_page_token) = page.fill(turn, read).await?;
        Ok(Response::new(v1::ListEndpointsResponse { endpoints, next_page_token }))
    }

    async fn update_endpoint(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let call = AuthorizedRequest::<UpdateEndpoint>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let UpdateEndpoint { organization_id, endpoint_id, etag, patch, secret } = call.request;
        let secret = match secret {
            Some(secret) => Some(self.seal_anew(&organization_id, endpoint_id, &secret).await?),
            None => None,
        };
        let patch = self.seal_patch(&organization_id, endpoint_id, patch).await?;
        let command = EndpointCommand::Update { patch, secret };
        let endpoint =
            self.execute(&organization_id, endpoint_id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::UpdateEndpointResponse {
            endpoint: Some(self.changed(&endpoint).await),
        }))
    }

    async fn enable_endpoint(
        &self,
        request: Request<v1::EnableEndpointRequest>,
    ) -> Result<Response<v1::EnableEndpointResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let EndpointRef { organization_id, endpoint_id } = call.request;
        let command = EndpointCommand::Enable;
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::EnableEndpointResponse {
            endpoint: Some(self.changed(&endpoint).await),
        }))
    }

    async fn disable_endpoint(
        &self,
        request: Request<v1::DisableEndpointRequest>,
    ) -> Result<Response<v1::DisableEndpointResponse>, Status> {
        let call = AuthorizedRequest::<DisableEndpoint>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let DisableEndpoint { organization_id, endpoint_id, reason } = call.request;
        let command = EndpointCommand::Disable { reason };
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::DisableEndpointResponse {
            endpoint: Some(self.changed(&endpoint).await),
        }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let call = AuthorizedRequest::<DeleteEndpoint>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let DeleteEndpoint { organization_id, endpoint_id, etag } = call.request;
        let command = EndpointCommand::Delete;
        self.execute(&organization_id, endpoint_id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::DeleteEndpointResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let call = AuthorizedRequest::<RotateSecret>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let RotateSecret { organization_id, endpoint_id, secret, overlap } = call.request;
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal_anew(&organization_id, endpoint_id, &secret).await?;
        let previous_expire_time = match overlap.is_zero() {
            true => None,
            false => (self.clock)().checked_add(overlap).ok(),
        };
        let command = EndpointCommand::RotateSecret { secret: sealed, previous_expire_time };
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::RotateSecretResponse {
            endpoint: Some(self.changed(&endpoint).await),
            secret: secret.expose().to_owned(),
            standard_webhooks_secret: secret.standard_form().to_string(),
        }))
    }

    async fn reveal_secret(
        &self,
        request: Request<v1::RevealSecretRequest>,
    ) -> Result<Response<v1::RevealSecretResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let EndpointRef { organization_id, endpoint_id } = call.request;
        // Recorded first: nobody sees a secret without leaving a trace.
        let command = EndpointCommand::RevealSecret;
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        let opened = self.keyring.open(&organization_id, endpoint_id, &endpoint.secret).await;
        let secret = opened.map_err(|error| secrets::failed(&organization_id, error))?;
        Ok(Response::new(v1::RevealSecretResponse {
            secret: secret.expose().to_owned(),
            standard_webhooks_secret: secret.standard_form().to_string(),
        }))
    }

    async fn preview_payload(
        &self,
        request: Request<v1::PreviewPayloadRequest>,
    ) -> Result<Response<v1::PreviewPayloadResponse>, Status> {
        let call = AuthorizedRequest::<PreviewPayload>::of(request)?;
        Ok(Response::new(payloads::preview(&self.renderer, call.request).await?))
    }

    async fn list_event_types(
        &self,
        request: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        AuthorizedRequest::<ListEventTypes>::of(request)?;
        let event_types = EventType::ALL.iter().map(|event_type| v1::EventType {
            sample_data_json: sample_data(*event_type).to_owned(),
            ..(*event_type).into()
        });
        let event_types = event_types.collect();
        Ok(Response::new(v1::ListEventTypesResponse { event_types }))
    }
}

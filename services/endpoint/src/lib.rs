//! The endpoint service: manages endpoints. Each change is decided by the domain, appended to the log
//! as a fact, and read back from the log's projections.

mod api;
mod commands;
mod configuration;
pub mod flags;
mod messages;
mod payloads;
mod rendering_limits;
mod secrets;

use std::future::ready;

use keeptrusts_webhooks_contracts::api::{
    AuthorizedRequest, CreateEndpoint, DeleteEndpoint, DisableEndpoint, EndpointRef,
    EventTypeCursor, ListChunk, ListEndpoints, ListEventTypes, PreviewPayload, RotateSecret,
    UpdateEndpoint,
};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::endpoint_service_server::EndpointService;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_process::declarative_resource::DeclarativeResource;
use keeptrusts_webhooks_process::sealing::Sealing;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::new_ulid;
use keeptrusts_webhooks_store::queries::EndpointFilter;
use tonic::{Request, Response, Status};

pub use api::EndpointApi;

#[tonic::async_trait]
impl EndpointService for EndpointApi {
    async fn create_endpoint(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Result<Response<v1::CreateEndpointResponse>, Status> {
        let call = AuthorizedRequest::<CreateEndpoint>::of_identified(request)?;
        let CreateEndpoint { endpoint_id, validate_only, .. } = call.request;
        let id = endpoint_id.unwrap_or_else(|| EndpointId::new(new_ulid((self.clock)())));
        let metadata = call.metadata(id);
        let organization_id = call.request.organization_id.clone();
        let (role, repeating) = (call.caller.role, metadata.clone());
        let secret = call.request.secret.clone().unwrap_or_else(secrets::generate);
        let request = CreateEndpoint { secret: Some(secret.clone()), ..call.request };
        let create = async {
            let endpoint = self.create(&organization_id, id, request, metadata).await?;
            // Nothing was attempted yet.
            let mut message = v1::Endpoint::of(&endpoint, None, None, endpoint.create_time);
            if !validate_only {
                return Ok((message, Some(secret)));
            }
            message.id = endpoint_id.map(|id| id.to_string()).unwrap_or_default();
            Ok((message, None))
        };
        let repeat =
            |stream| self.reveal_again(role, &organization_id, stream, validate_only, repeating);
        let identity = call.identity.as_ref();
        let done = self.writer(&organization_id).once(identity, create, repeat).await?;
        let ((endpoint, secret), duplicate) = done;
        Ok(Response::new(v1::CreateEndpointResponse {
            endpoint: Some(endpoint),
            secret: secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            standard_webhooks_secret: secret
                .map(|secret| secret.standard_form().to_string())
                .unwrap_or_default(),
            duplicate,
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Result<Response<v1::GetEndpointResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let EndpointRef { organization_id, endpoint_id } = call.request;
        let endpoint = self.read(&organization_id, endpoint_id).await?;
        let endpoint = Some(self.message(&endpoint).await?);
        Ok(Response::new(v1::GetEndpointResponse { endpoint }))
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let call = AuthorizedRequest::<ListEndpoints>::of(request)?;
        let ListEndpoints { organization_id, page, states, search } = call.request;
        let (store, shard) = (self.log.store(), self.log.shard_of(&organization_id));
        let organization = &organization_id;
        let health = &self.health(organization).await?;
        let filter = &EndpointFilter { states: health.filter(&states), search };
        let read = |before, limit| async move {
            let endpoints = store.list_endpoints(shard, organization, filter, before, limit).await;
            let endpoints = endpoints.map_err(database_errors::query_failed)?;
            let item = |endpoint: &Endpoint| (endpoint.id, health.message(endpoint));
            Ok::<_, Status>(ListChunk::of_all(endpoints.iter().map(item).collect(), limit))
        };
        let permit = long_reads::acquire(&self.log, organization);
        let (endpoints, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListEndpointsResponse { endpoints, next_page_token }))
    }

    async fn update_endpoint(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let call = AuthorizedRequest::<UpdateEndpoint>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let endpoint = self.update(&call.request, metadata).await?;
        Ok(Response::new(v1::UpdateEndpointResponse {
            endpoint: Some(self.message_after_change(&endpoint).await),
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
            endpoint: Some(self.message_after_change(&endpoint).await),
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
            endpoint: Some(self.message_after_change(&endpoint).await),
        }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let call = AuthorizedRequest::<DeleteEndpoint>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let DeleteEndpoint { organization_id, endpoint_id: id, etag, allow_missing } = call.request;
        let (command, etag) = (EndpointCommand::Delete, etag.as_deref());
        self.delete(&organization_id, id, command, etag, allow_missing, metadata).await?;
        Ok(Response::new(v1::DeleteEndpointResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let call = AuthorizedRequest::<RotateSecret>::of_identified(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let (role, repeating) = (call.caller.role, metadata.clone());
        let RotateSecret { organization_id, endpoint_id, secret, overlap } = call.request;
        let rotate = async {
            let secret = secret.unwrap_or_else(secrets::generate);
            // First, so that a request for a missing endpoint leaves no data key behind.
            self.read(&organization_id, endpoint_id).await?;
            let (keyring, owner) = (&self.keyring, endpoint_id);
            let sealed =
                Sealing::ForLog.seal(keyring, &organization_id, owner, &secret, None).await?;
            let previous_expire_time = match overlap.is_zero() {
                true => None,
                false => (self.clock)().checked_add(overlap).ok(),
            };
            let command = EndpointCommand::RotateSecret { secret: sealed, previous_expire_time };
            let endpoint =
                self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
            Ok((self.message_after_change(&endpoint).await, Some(secret)))
        };
        let repeat = |stream| self.reveal_again(role, &organization_id, stream, false, repeating);
        let identity = call.identity.as_ref();
        let done = self.writer(&organization_id).once(identity, rotate, repeat).await?;
        let ((endpoint, secret), duplicate) = done;
        Ok(Response::new(v1::RotateSecretResponse {
            endpoint: Some(endpoint),
            secret: secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            standard_webhooks_secret: secret
                .map(|secret| secret.standard_form().to_string())
                .unwrap_or_default(),
            duplicate,
        }))
    }

    async fn reveal_secret(
        &self,
        request: Request<v1::RevealSecretRequest>,
    ) -> Result<Response<v1::RevealSecretResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let EndpointRef { organization_id, endpoint_id } = call.request;
        let (_, secret) = self.reveal(&organization_id, endpoint_id, metadata).await?;
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
        let call = AuthorizedRequest::<ListEventTypes>::of(request)?;
        let ListEventTypes { organization_id, page } = call.request;
        let read = |after: EventTypeCursor, limit| {
            let types = after.rest().iter().take(limit).map(|event_type| {
                let sample_data_json = sample_data(*event_type).to_owned();
                let message = v1::EventType { sample_data_json, ..(*event_type).into() };
                (EventTypeCursor::after(*event_type), message)
            });
            ready(Ok::<_, Status>(ListChunk::of_all(types.collect(), limit)))
        };
        let permit = long_reads::acquire(&self.log, &organization_id);
        let (event_types, next_page_token) = page.fill(permit, read).await?;
        Ok(Response::new(v1::ListEventTypesResponse { event_types, next_page_token }))
    }
}

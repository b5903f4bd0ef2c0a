//! The endpoint service: manages endpoints. Each change is decided by the domain, appended to the log
//! as a fact, and read back from the log's projections.

mod api;
mod commands;
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
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::endpoint_service_server::EndpointService;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::EndpointId;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_formats::sample_data;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::EndpointFilter;
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, new_ulid};
use tonic::{Request, Response, Status};

pub use api::EndpointApi;

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
            PayloadFields::IN_ENDPOINT,
            &organization_id,
            &config.event_types,
        )
        .await?;
        self.refuse_if_full(&organization_id).await?;
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal(&organization_id, id, &secret).await?;
        let key = config.payload_format.routing_key();
        let key = self.seal_routing_key(&organization_id, id, key, None).await?;
        // Never None: the key of a format that has one was sealed above.
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
            ..Default::default()
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
        let (organization, filter) =
            (&organization_id, &EndpointFilter { states: states.into(), search });
        let read = |before, limit| async move {
            let endpoints = store.list_endpoints(shard, organization, filter, before, limit).await;
            let endpoints = endpoints.map_err(database_errors::query_failed)?;
            let messages = self.messages(organization, &endpoints).await?;
            let items = endpoints.iter().map(|endpoint| endpoint.id).zip(messages).collect();
            Ok::<_, Status>(ListChunk::of_all(items, limit))
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
            endpoint: Some(self.message_after_change(&endpoint).await),
            secret: secret.expose().to_owned(),
            standard_webhooks_secret: secret.standard_form().to_string(),
            ..Default::default()
        }))
    }

    async fn reveal_secret(
        &self,
        request: Request<v1::RevealSecretRequest>,
    ) -> Result<Response<v1::RevealSecretResponse>, Status> {
        let call = AuthorizedRequest::<EndpointRef>::of(request)?;
        let metadata = call.metadata(call.request.endpoint_id);
        let EndpointRef { organization_id, endpoint_id } = call.request;
        let open = async |endpoint: &Endpoint| {
            let opened = self.keyring.open(&organization_id, endpoint_id, &endpoint.secret).await;
            opened.map_err(|error| secrets::failed(&organization_id, error))
        };
        // What cannot be opened is not revealed, and leaves no entry in the audit trail.
        open(&self.read(&organization_id, endpoint_id).await?).await?;
        // Nobody sees a secret without an entry. The secret is the one of that moment, in case it was
        // rotated in between.
        let command = EndpointCommand::RevealSecret;
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        let secret = open(&endpoint).await?;
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

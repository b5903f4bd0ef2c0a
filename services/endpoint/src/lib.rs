//! The endpoint service: management of endpoints. Each change is a decision of the domain, a
//! fact in the log, and what the log's projection then says.

mod commands;
mod secrets;

use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    CreateEndpoint, DeleteEndpoint, DisableEndpoint, EndpointRef, ListEndpoints, ListEventTypes,
    RotateSecret, UpdateEndpoint,
};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::endpoint_service_server::{
    EndpointService, EndpointServiceServer,
};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, NewEndpoint};
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{EndpointUpdate, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::keyring::Keyring;
use keeptrusts_webhooks_store::query::EndpointFilter;
use keeptrusts_webhooks_store::{Clock, Expected, Log, NewRecord, new_ulid};
use tonic::{Request, Response, Status};

/// The gRPC service.
pub struct EndpointApi {
    log: Arc<Log>,
    keyring: Arc<Keyring>,
    clock: Clock,
}

impl EndpointApi {
    /// The service on a log; `keyring` seals and opens the endpoints' secrets.
    pub fn server(
        log: Arc<Log>,
        keyring: Arc<Keyring>,
        clock: Clock,
    ) -> EndpointServiceServer<Self> {
        EndpointServiceServer::new(EndpointApi { log, keyring, clock })
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
        let metadata = commands::metadata(&request);
        let request = CreateEndpoint::try_from(request.into_inner())?;
        let CreateEndpoint { organization_id, name, url, description, event_types, secret } =
            request;
        let id = EndpointId::new(new_ulid((self.clock)()));
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal(&organization_id, id, &secret).await?;
        let new = NewEndpoint { name, url, description, event_types, secret: sealed };
        let record = NewRecord {
            stream: Stream::Endpoint(id),
            expected: Expected::New,
            fact: Fact::Endpoint(Endpoint::create(new.clone())),
        };
        let metadata = Metadata { correlation_id: id.to_string(), ..metadata };
        let recorded_at = self.append(&organization_id, record, metadata).await?;
        let recorded_at = recorded_at.map_err(|refusal| {
            answer::append_failed(keeptrusts_webhooks_store::AppendError::Refused(refusal))
        })?;
        let endpoint = Endpoint::created(id, organization_id, new, recorded_at);
        Ok(Response::new(v1::CreateEndpointResponse {
            endpoint: Some((&endpoint).into()),
            secret: secret.expose().to_owned(),
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Result<Response<v1::GetEndpointResponse>, Status> {
        let EndpointRef { organization_id, endpoint_id } = request.into_inner().try_into()?;
        let endpoint = self.read(&organization_id, endpoint_id).await?;
        Ok(Response::new(v1::GetEndpointResponse { endpoint: Some((&endpoint).into()) }))
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let request = ListEndpoints::try_from(request.into_inner())?;
        let ListEndpoints { organization_id, page, status, search } = request;
        let shard = self.log.shard_of(&organization_id);
        let filter = EndpointFilter { status, search };
        let store = self.log.store();
        let read =
            store.list_endpoints(shard, &organization_id, &filter, page.before, page.limit());
        let read = read.await.map_err(answer::query_failed)?;
        let (endpoints, next_page_token) = page.split(read, |endpoint| endpoint.id);
        let endpoints = endpoints.iter().map(Into::into).collect();
        Ok(Response::new(v1::ListEndpointsResponse { endpoints, next_page_token }))
    }

    async fn update_endpoint(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let metadata = commands::metadata(&request);
        let request = UpdateEndpoint::try_from(request.into_inner())?;
        let UpdateEndpoint { organization_id, endpoint_id, etag, secret, .. } = request;
        let sealed = match secret {
            Some(secret) => Some(self.seal_anew(&organization_id, endpoint_id, &secret).await?),
            None => None,
        };
        let command = EndpointCommand::Update(EndpointUpdate {
            name: request.name,
            url: request.url,
            description: request.description,
            event_types: request.event_types,
            secret: sealed,
        });
        let endpoint =
            self.execute(&organization_id, endpoint_id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::UpdateEndpointResponse { endpoint: Some((&endpoint).into()) }))
    }

    async fn enable_endpoint(
        &self,
        request: Request<v1::EnableEndpointRequest>,
    ) -> Result<Response<v1::EnableEndpointResponse>, Status> {
        let metadata = commands::metadata(&request);
        let EndpointRef { organization_id, endpoint_id } = request.into_inner().try_into()?;
        let command = EndpointCommand::Enable;
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::EnableEndpointResponse { endpoint: Some((&endpoint).into()) }))
    }

    async fn disable_endpoint(
        &self,
        request: Request<v1::DisableEndpointRequest>,
    ) -> Result<Response<v1::DisableEndpointResponse>, Status> {
        let metadata = commands::metadata(&request);
        let request = DisableEndpoint::try_from(request.into_inner())?;
        let DisableEndpoint { organization_id, endpoint_id, reason } = request;
        let command = EndpointCommand::Disable { reason };
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::DisableEndpointResponse { endpoint: Some((&endpoint).into()) }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let metadata = commands::metadata(&request);
        let request = DeleteEndpoint::try_from(request.into_inner())?;
        let DeleteEndpoint { organization_id, endpoint_id, etag } = request;
        let command = EndpointCommand::Delete;
        self.execute(&organization_id, endpoint_id, command, etag.as_deref(), metadata).await?;
        Ok(Response::new(v1::DeleteEndpointResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let metadata = commands::metadata(&request);
        let request = RotateSecret::try_from(request.into_inner())?;
        let RotateSecret { organization_id, endpoint_id, secret, overlap } = request;
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal_anew(&organization_id, endpoint_id, &secret).await?;
        let previous_expire_time = match overlap.is_zero() {
            true => None,
            false => (self.clock)().checked_add(overlap).ok(),
        };
        let command = EndpointCommand::RotateSecret { secret: sealed, previous_expire_time };
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        Ok(Response::new(v1::RotateSecretResponse {
            endpoint: Some((&endpoint).into()),
            secret: secret.expose().to_owned(),
        }))
    }

    async fn reveal_secret(
        &self,
        request: Request<v1::RevealSecretRequest>,
    ) -> Result<Response<v1::RevealSecretResponse>, Status> {
        let metadata = commands::metadata(&request);
        let EndpointRef { organization_id, endpoint_id } = request.into_inner().try_into()?;
        // Recorded first: nobody sees a secret without leaving a trace.
        let command = EndpointCommand::RevealSecret;
        let endpoint = self.execute(&organization_id, endpoint_id, command, None, metadata).await?;
        let opened = self.keyring.open(&organization_id, endpoint_id, &endpoint.secret).await;
        let secret = opened.map_err(|error| secrets::failed(&organization_id, error))?;
        Ok(Response::new(v1::RevealSecretResponse { secret: secret.expose().to_owned() }))
    }

    async fn list_event_types(
        &self,
        request: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        ListEventTypes::try_from(request.into_inner())?;
        let event_types = EventType::ALL.iter().copied().map(Into::into).collect();
        Ok(Response::new(v1::ListEventTypesResponse { event_types }))
    }
}

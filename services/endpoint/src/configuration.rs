//! How endpoints are created and updated: what is checked and sealed before the log decides.

use keeptrusts_webhooks_contracts::api::{CreateEndpoint, UpdateEndpoint};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource, ResourceWithCallersId};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, EndpointRefusal};
use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_process::declarative_resource::{DeclarativeResource, Target};
use keeptrusts_webhooks_process::log_writer::{LogWriter, WriteError};
use keeptrusts_webhooks_process::sealing::Sealing;
use keeptrusts_webhooks_store::{CountLimit, Counted, ExpectedVersion, NewRecord};
use tonic::Status;

use crate::api::EndpointApi;
use crate::{payloads, secrets};

impl DeclarativeResource for EndpointApi {
    type Id = EndpointId;
    type Entity = Endpoint;
    type Command = EndpointCommand;
    type Creation = CreateEndpoint;
    type Update = UpdateEndpoint;

    const RESOURCE: ResourceWithCallersId = ResourceWithCallersId::Endpoint;

    fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }

    async fn find(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, Status> {
        let shard = self.log.shard_of(organization);
        let endpoint = self.log.store().endpoint(shard, organization, id).await;
        endpoint.map_err(database_errors::query_failed)
    }

    fn is_deleted(endpoint: &Endpoint) -> bool {
        endpoint.delete_time.is_some()
    }

    fn decide(
        endpoint: &Endpoint,
        command: EndpointCommand,
        etag: Option<&str>,
    ) -> Result<Option<EndpointFact>, Status> {
        endpoint.decide(command, etag).map_err(|refusal| match refusal {
            EndpointRefusal::Deleted => status::not_found(Resource::Endpoint, endpoint.id),
            EndpointRefusal::StaleEtag => status::aborted_stale_etag(Resource::Endpoint),
            EndpointRefusal::Violations(violations) => status::invalid_argument(violations),
            EndpointRefusal::CredentialRequired(why) => {
                let field = PayloadFields::IN_ENDPOINT.routing_key;
                status::failed_precondition_credential(field, why.to_string())
            }
        })
    }

    async fn try_create(
        &self,
        id: EndpointId,
        request: CreateEndpoint,
        metadata: Metadata,
    ) -> Result<Endpoint, WriteError> {
        let CreateEndpoint { organization_id, endpoint_id: _, config, secret, validate_only } =
            request;
        payloads::check_template(
            &self.renderer,
            &config.payload_format,
            PayloadFields::IN_ENDPOINT,
            &organization_id,
            &config.event_types,
        )
        .await?;
        let sealing = Sealing::unless(validate_only);
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = sealing.seal(&self.keyring, &organization_id, id, &secret, None).await?;
        let key = config.payload_format.routing_key();
        let key = self.seal_routing_key(sealing, &organization_id, id, key, None).await?;
        // Never None: the key of a format that has one was sealed above.
        let format = config.payload_format.clone().with_key(key).ok_or_else(status::internal)?;
        let config = config.with_payload_format(format);
        let fact = EndpointFact::Created { config: config.clone(), secret: sealed.clone() };
        let record = NewRecord {
            stream: Stream::Endpoint(id),
            expected: ExpectedVersion::New,
            fact: Fact::Endpoint(fact),
        };
        let limit = CountLimit { counted: Counted::Endpoints, max: self.max_endpoints.into() };
        let writer = self.writer(&organization_id).within([limit]).validating(validate_only);
        let recorded_at = writer.try_append(vec![record], metadata).await?;
        Ok(Endpoint::created(id, organization_id, config, sealed, recorded_at))
    }

    fn limit_reached(limit: CountLimit) -> Status {
        let message = format!(
            "the organization has {} endpoints and may not have more: delete some, or ask an operator for a larger --max-endpoints-per-organization",
            limit.max
        );
        status::resource_exhausted(Reason::TooManyEndpoints, message)
    }

    fn target(request: &UpdateEndpoint) -> Target<'_, EndpointApi> {
        Target {
            organization: &request.organization_id,
            id: request.endpoint_id,
            etag: request.etag.as_deref(),
            creation: request.creation.as_ref(),
        }
    }

    async fn change(
        &self,
        endpoint: Endpoint,
        request: &UpdateEndpoint,
        metadata: Metadata,
    ) -> Result<Endpoint, WriteError> {
        let UpdateEndpoint { organization_id, endpoint_id: id, patch, validate_only, .. } = request;
        let sealing = Sealing::unless(*validate_only);
        let secret = match &request.secret {
            Some(secret) => {
                let current = Some(&endpoint.secret);
                Some(sealing.seal(&self.keyring, organization_id, *id, secret, current).await?)
            }
            None => None,
        };
        let patch = self.seal_patch(sealing, &endpoint, patch.clone()).await?;
        let command = EndpointCommand::Update { patch, secret };
        let fact = Self::decide(&endpoint, command, request.etag.as_deref())?;
        if let Some(fact) = &fact {
            payloads::check_update(&self.renderer, &endpoint, fact).await?;
        }
        let writer = self.writer(organization_id).validating(*validate_only);
        writer.record(endpoint, fact, metadata).await
    }
}

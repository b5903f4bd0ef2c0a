//! CreateEndpoint and UpdateEndpoint. With `allow_missing`, an update creates what is missing, so that
//! declarative tools can repeat one call until it says that everything is as it should be.
//!
//! Decision: docs/decisions/ids-may-be-the-callers.md

use keeptrusts_webhooks_contracts::api::{CreateEndpoint, UpdateEndpoint};
use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource, ResourceWithCallersId, TakenId};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_process::log_writer::{WriteError, retry_on_conflict};
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord};
use tonic::Status;

use crate::api::EndpointApi;
use crate::commands::decide;
use crate::payloads;
use crate::secrets::{self, Sealing};

impl EndpointApi {
    /// Creates an endpoint, or only checks whether it could be created. Returns it with its secret.
    pub(crate) async fn create(
        &self,
        id: EndpointId,
        request: CreateEndpoint,
        metadata: Metadata,
    ) -> Result<(Endpoint, Secret), WriteError> {
        let organization = request.organization_id.clone();
        if request.endpoint_id.is_some() {
            self.refuse_taken(&organization, id).await?;
        }
        match self.try_create(id, request, metadata).await {
            Err(WriteError::Conflict) => {
                self.refuse_taken(&organization, id).await?;
                Err(already_exists(id, TakenId::Otherwise).into())
            }
            created => created,
        }
    }

    /// Before anything is written, and for the words: what counts is decided when the record is appended.
    async fn refuse_taken(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
    ) -> Result<(), Status> {
        match self.find(organization, id).await? {
            None => Ok(()),
            Some(endpoint) if endpoint.delete_time.is_some() => {
                Err(already_exists(id, TakenId::ByDeletedResource))
            }
            Some(_) => Err(already_exists(id, TakenId::ByResource)),
        }
    }

    /// Conflict: something has the id.
    async fn try_create(
        &self,
        id: EndpointId,
        request: CreateEndpoint,
        metadata: Metadata,
    ) -> Result<(Endpoint, Secret), WriteError> {
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
        self.refuse_if_full(&organization_id).await?;
        let sealing = Sealing::unless(validate_only);
        let secret = secret.unwrap_or_else(secrets::generate);
        let sealed = self.seal(sealing, &organization_id, id, &secret, None).await?;
        let key = config.payload_format.routing_key();
        let key = self.seal_routing_key(sealing, &organization_id, id, key, None).await?;
        // Never None: the key of a format that has one was sealed above.
        let format = config.payload_format.clone().with_key(key).ok_or_else(status::internal)?;
        let config = config.with_payload_format(format);
        let recorded_at = match validate_only {
            true => (self.clock)(),
            false => {
                let (config, secret) = (config.clone(), sealed.clone());
                let record = NewRecord {
                    stream: Stream::Endpoint(id),
                    expected: ExpectedVersion::New,
                    fact: Fact::Endpoint(EndpointFact::Created { config, secret }),
                };
                self.writer(&organization_id).try_append(vec![record], metadata).await?
            }
        };
        Ok((Endpoint::created(id, organization_id, config, sealed, recorded_at), secret))
    }

    /// Updates an endpoint, or creates it if it is missing and that is allowed; or only checks whether
    /// it could.
    pub(crate) async fn update(
        &self,
        request: UpdateEndpoint,
        metadata: Metadata,
    ) -> Result<Endpoint, Status> {
        let attempt = || self.try_update(&request, metadata.clone());
        Ok(retry_on_conflict(attempt).await?)
    }

    async fn try_update(
        &self,
        request: &UpdateEndpoint,
        metadata: Metadata,
    ) -> Result<Endpoint, WriteError> {
        let (organization, id) = (&request.organization_id, request.endpoint_id);
        let found = self.find(organization, id).await?;
        let Some(creation) = &request.creation else {
            let existing = found.filter(|endpoint| endpoint.delete_time.is_none());
            let existing = existing.ok_or_else(|| status::not_found(Resource::Endpoint, id))?;
            return self.change(existing, request, metadata).await;
        };
        match found {
            Some(deleted) if deleted.delete_time.is_some() => {
                Err(already_exists(id, TakenId::ByDeletedResource).into())
            }
            Some(existing) => self.change(existing, request, metadata).await,
            // The caller has read an endpoint, and it is not there.
            None if request.etag.is_some() => Err(status::aborted_stale_etag().into()),
            None => {
                let creation = creation.clone().map_err(Status::from)?;
                match self.try_create(id, creation, metadata).await {
                    Err(WriteError::Conflict) if self.find(organization, id).await?.is_none() => {
                        Err(already_exists(id, TakenId::Otherwise).into())
                    }
                    created => created.map(|(endpoint, _)| endpoint),
                }
            }
        }
    }

    async fn change(
        &self,
        mut endpoint: Endpoint,
        request: &UpdateEndpoint,
        metadata: Metadata,
    ) -> Result<Endpoint, WriteError> {
        let UpdateEndpoint { organization_id, endpoint_id: id, patch, validate_only, .. } = request;
        let sealing = Sealing::unless(*validate_only);
        let secret = match &request.secret {
            Some(secret) => {
                let current = Some(&endpoint.secret);
                Some(self.seal(sealing, organization_id, *id, secret, current).await?)
            }
            None => None,
        };
        let patch = self.seal_patch(sealing, &endpoint, patch.clone()).await?;
        let command = EndpointCommand::Update { patch, secret };
        let fact = decide(&endpoint, command, request.etag.as_deref())?;
        if let Some(fact) = &fact {
            payloads::check_update(&self.renderer, &endpoint, fact).await?;
        }
        if !validate_only {
            return self.writer(organization_id).record(endpoint, fact, metadata).await;
        }
        fact.iter().for_each(|fact| endpoint.apply(fact, (self.clock)()));
        Ok(endpoint)
    }
}

fn already_exists(id: EndpointId, taken: TakenId) -> Status {
    status::already_exists(ResourceWithCallersId::Endpoint, id, taken)
}

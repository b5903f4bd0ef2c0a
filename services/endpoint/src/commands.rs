//! From a command to a fact in the log: read, decide, append, and again if somebody was faster.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, EndpointRefusal};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{Expected, NewRecord, Operation, Refusal};
use tonic::Status;

use crate::{EndpointApi, payloads};

impl EndpointApi {
    /// Carries out a command; the endpoint after it. With an etag, only if it is the current one.
    pub(crate) async fn execute(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        command: EndpointCommand,
        etag: Option<&str>,
        metadata: Metadata,
    ) -> Result<Endpoint, Status> {
        let mut attempts = answer::Attempts::default();
        loop {
            let mut endpoint = self.read(organization, id).await?;
            let decided =
                endpoint.decide(command.clone(), etag).map_err(|refusal| match refusal {
                    EndpointRefusal::Deleted => status::not_found(Resource::Endpoint, id),
                    EndpointRefusal::StaleEtag => status::aborted_stale_etag(),
                    EndpointRefusal::Violations(violations) => status::invalid_argument(violations),
                    EndpointRefusal::CredentialRequired(why) => {
                        let field = PayloadFields::IN_ENDPOINT.routing_key;
                        status::failed_precondition_credential(field, why.to_string())
                    }
                })?;
            let Some(fact) = decided else { return Ok(endpoint) };
            payloads::check_update(&self.renderer, &endpoint, &fact).await?;
            let record = NewRecord {
                stream: Stream::Endpoint(id),
                expected: Expected::Version(endpoint.version),
                fact: Fact::Endpoint(fact.clone()),
            };
            match self.append(organization, record, metadata.clone()).await? {
                Ok(recorded_at) => {
                    endpoint.apply(&fact, recorded_at);
                    return Ok(endpoint);
                }
                Err(refusal) => attempts.again(refusal, status::aborted_stale_etag)?,
            }
        }
    }

    /// Appends one record; the time it was recorded at.
    pub(crate) async fn append(
        &self,
        organization: &OrganizationId,
        record: NewRecord,
        metadata: Metadata,
    ) -> Result<Result<Timestamp, Refusal>, Status> {
        let operation = Operation::recording(organization, vec![record], metadata, (self.clock)());
        answer::record(&self.log, self.log.shard_of(organization), operation).await
    }
}

//! Executes commands on endpoints: the domain decides, the log records the fact.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, EndpointRefusal};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::payload_format::PayloadFields;
use keeptrusts_webhooks_process::log_writer::{LogWriter, WriteError};
use tonic::Status;

use crate::api::EndpointApi;
use crate::payloads;

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
        let decide = || async {
            let endpoint = self.read(organization, id).await?;
            let decided = endpoint.decide(command.clone(), etag);
            let decided = decided.map_err(|refusal| refused(&endpoint, refusal))?;
            if let Some(fact) = &decided {
                payloads::check_update(&self.renderer, &endpoint, fact).await?;
            }
            Ok((endpoint, decided))
        };
        let metadata = |_: &Endpoint| metadata.clone();
        self.writer(organization).change(decide, metadata, status::aborted_stale_etag).await
    }

    pub(crate) fn writer<'a>(&'a self, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::new(&self.log, &self.clock, organization)
    }
}

fn refused(endpoint: &Endpoint, refusal: EndpointRefusal) -> Status {
    match refusal {
        EndpointRefusal::Deleted => status::not_found(Resource::Endpoint, endpoint.id),
        EndpointRefusal::StaleEtag => status::aborted_stale_etag(),
        EndpointRefusal::Violations(violations) => status::invalid_argument(violations),
        EndpointRefusal::CredentialRequired(why) => {
            let field = PayloadFields::IN_ENDPOINT.routing_key;
            status::failed_precondition_credential(field, why.to_string())
        }
    }
}

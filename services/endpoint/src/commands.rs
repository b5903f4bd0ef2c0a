//! From a command to a fact in the log: read, decide, append, and again if somebody was faster.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand, EndpointRefusal};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{EndpointId, OperationId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::{
    AppendError, Appended, Expected, NewRecord, Operation, Refusal, new_ulid,
};
use tonic::Status;

use crate::EndpointApi;

/// How often a command is decided anew before its caller is told to try later. Each time
/// somebody else's change to the same endpoint has come first.
const MAX_DECISIONS: usize = 16;

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
        for _ in 0..MAX_DECISIONS {
            let mut endpoint = self.read(organization, id).await?;
            let decided =
                endpoint.decide(command.clone(), etag).map_err(|refusal| match refusal {
                    EndpointRefusal::Deleted => status::not_found(Resource::Endpoint, id),
                    EndpointRefusal::StaleEtag => status::aborted_stale_etag(),
                })?;
            let Some(fact) = decided else { return Ok(endpoint) };
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
                Err(Refusal::StaleVersion { .. }) => {}
                Err(refusal) => return Err(answer::append_failed(AppendError::Refused(refusal))),
            }
        }
        Err(status::aborted_stale_etag())
    }

    /// Appends one record; the time it was recorded at.
    pub(crate) async fn append(
        &self,
        organization: &OrganizationId,
        record: NewRecord,
        metadata: Metadata,
    ) -> Result<Result<Timestamp, Refusal>, Status> {
        let now = (self.clock)();
        let operation = Operation {
            id: OperationId::new(new_ulid(now)),
            organization_id: organization.clone(),
            records: vec![record],
            metadata,
            bodies: Vec::new(),
            fence: None,
            checkpoint: None,
        };
        let shard = self.log.shard_of(organization);
        let appended = answer::append(&self.log, shard, operation).await?;
        Ok(appended.map(|appended| match appended {
            Appended::New { recorded_at, .. } => recorded_at,
            Appended::Duplicate { .. } => now,
        }))
    }
}

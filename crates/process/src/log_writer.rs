//! How calls write to the log: they read, decide and append, and begin again if another change of
//! the same thing was recorded first.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::entity::Entity;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, Clock, Log, NewBody, NewRecord, Operation, Refusal,
};
use tonic::Status;

use crate::answer;

/// How often a call decides before it gives up.
const MAX_DECISIONS: usize = 16;

/// Writes one organization's records to the log, and waits until they are durable.
pub struct LogWriter<'a> {
    log: &'a Log,
    clock: &'a Clock,
    shard: Shard,
    organization: &'a OrganizationId,
}

impl<'a> LogWriter<'a> {
    /// Writes to the shard that the organization lives on.
    pub fn new(log: &'a Log, clock: &'a Clock, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter { log, clock, shard: log.shard_of(organization), organization }
    }

    /// Writes to the shard that all keys live on.
    pub fn of_keys(
        log: &'a Log,
        clock: &'a Clock,
        organization: &'a OrganizationId,
    ) -> LogWriter<'a> {
        LogWriter { log, clock, shard: Shard::OF_KEYS, organization }
    }

    /// Changes an entity: `decide` reads it and says which fact follows from how it is (None: nothing
    /// has to change), which is appended. Returns the entity afterwards.
    ///
    /// If another change of the entity was recorded since it was read, it is read and decided again,
    /// but not for ever: then the answer is `outpaced`.
    pub async fn change<E: Entity, F>(
        &self,
        decide: impl Fn() -> F,
        metadata: impl Fn(&E) -> Metadata,
        outpaced: impl FnOnce() -> Status,
    ) -> Result<E, Status>
    where
        F: Future<Output = Result<(E, Option<E::Fact>), Status>>,
    {
        let attempt = || async {
            let (mut entity, decided) = decide().await?;
            let Some(fact) = decided else { return Ok(Ok(entity)) };
            let record = NewRecord::following(&entity, fact.clone());
            let appended = self.try_append(vec![record], metadata(&entity)).await?;
            Ok(appended.map(|recorded_at| {
                entity.apply(&fact, recorded_at);
                entity
            }))
        };
        retry_when_outpaced(attempt, outpaced).await
    }

    /// Appends a record that no other change can come before: a new entity's first one, or one that
    /// is right whatever else has happened. Says where it is, and when it was recorded.
    pub async fn append(
        &self,
        record: NewRecord,
        metadata: Metadata,
    ) -> Result<(Position, Timestamp), Status> {
        self.append_with_bodies(record, Vec::new(), metadata).await
    }

    /// The same with content for the body table.
    pub async fn append_with_bodies(
        &self,
        record: NewRecord,
        bodies: Vec<NewBody>,
        metadata: Metadata,
    ) -> Result<(Position, Timestamp), Status> {
        let operation = Operation { bodies, ..self.operation(vec![record], metadata) };
        self.commit(operation).await?.map_err(refused)
    }

    /// Appends records together, unless one of them is refused. Says when they were recorded.
    pub async fn try_append(
        &self,
        records: Vec<NewRecord>,
        metadata: Metadata,
    ) -> Result<Result<Timestamp, Refusal>, Status> {
        let committed = self.commit(self.operation(records, metadata)).await?;
        Ok(committed.map(|(_, recorded_at)| recorded_at))
    }

    fn operation(&self, records: Vec<NewRecord>, metadata: Metadata) -> Operation {
        Operation::recording(self.organization, records, metadata, (self.clock)())
    }

    async fn commit(
        &self,
        operation: Operation,
    ) -> Result<Result<(Position, Timestamp), Refusal>, Status> {
        Ok(match answer::append(self.log, self.shard, operation).await? {
            Ok(AppendOutcome::Appended { first, recorded_at, .. }) => Ok((first, recorded_at)),
            Ok(AppendOutcome::Duplicate { .. }) => {
                tracing::error!("only an event can be a duplicate");
                return Err(status::internal());
            }
            Err(refusal) => Err(refusal),
        })
    }
}

/// Reads, decides and appends until no other change was recorded between reading and appending, but
/// not for ever: then the answer is `outpaced`.
pub async fn retry_when_outpaced<T, F>(
    attempt: impl Fn() -> F,
    outpaced: impl FnOnce() -> Status,
) -> Result<T, Status>
where
    F: Future<Output = Result<Result<T, Refusal>, Status>>,
{
    for _ in 0..MAX_DECISIONS {
        match attempt().await? {
            Ok(done) => return Ok(done),
            Err(Refusal::StaleVersion { .. }) => {}
            Err(refusal) => return Err(refused(refusal)),
        }
    }
    Err(outpaced())
}

/// The status of a refusal that no other decision helps against.
fn refused(refusal: Refusal) -> Status {
    answer::append_failed(AppendError::Refused(refusal))
}

#[cfg(test)]
#[path = "log_writer_tests.rs"]
mod tests;

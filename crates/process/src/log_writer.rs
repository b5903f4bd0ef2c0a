//! How gRPC calls write to the log: optimistic concurrency control, in one place for all services.
//!
//! ```text
//! read the entity at version 7 -> decide which fact follows -> append it as version 8
//!      ^                                                            |
//!      +------ conflict: somebody else has appended version 8 ------+
//! ```
//!
//! The domain decides ([`Entity`]), the store detects conflicts
//! ([`NewRecord::following`]), and [`retry_on_conflict`] is the only loop.

use std::time::Duration;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::entity::Entity;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestUse};
use keeptrusts_webhooks_store::backoff::Backoff;
use keeptrusts_webhooks_store::{
    AppendError, AppendOutcome, Clock, CountLimit, Log, NewBody, NewRecord, Operation, Refusal,
    random,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::database_errors;

/// How long a call waits for a commit. Afterwards nobody knows whether it happens.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call goes on reading and deciding while others change the same entity.
const CONFLICT_PATIENCE: Duration = Duration::from_secs(5);
/// Between two of its attempts, at random up to this, and twice as much each time: otherwise all
/// of those who have lost try again at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Writes one organization's records to one shard. Every method returns after the commit, so what
/// it has written is durable.
pub struct LogWriter<'a> {
    log: &'a Log,
    clock: &'a Clock,
    shard: Shard,
    organization: &'a OrganizationId,
    limits: Vec<CountLimit>,
    validate_only: bool,
}

/// Why one attempt to write has failed.
#[derive(Debug)]
pub enum WriteError {
    /// Somebody else has changed the entity since it was read. Reading and deciding again helps.
    Conflict,
    /// Something has the id that a caller has made, in this organization or in another one.
    Taken,
    /// There are as many already as [`LogWriter::within`] allows.
    LimitReached(CountLimit),
    /// The request was recorded before: in the meantime, if [`LogWriter::once`] has looked it up.
    Repeated(Stream),
    /// Another attempt would fail as well: the call ends with this status.
    Failed(Status),
}

impl<'a> LogWriter<'a> {
    /// Writes to the organization's own shard.
    pub fn new(log: &'a Log, clock: &'a Clock, organization: &'a OrganizationId) -> LogWriter<'a> {
        LogWriter::on(log.shard_of(organization), log, clock, organization)
    }

    /// Writes to the shard that holds the keys of all organizations.
    pub fn of_keys(
        log: &'a Log,
        clock: &'a Clock,
        organization: &'a OrganizationId,
    ) -> LogWriter<'a> {
        LogWriter::on(Shard::OF_KEYS, log, clock, organization)
    }

    fn on(
        shard: Shard,
        log: &'a Log,
        clock: &'a Clock,
        organization: &'a OrganizationId,
    ) -> LogWriter<'a> {
        LogWriter { log, clock, shard, organization, limits: Vec::new(), validate_only: false }
    }

    /// Appends only where these limits leave room for one more, decided together with the append.
    pub fn within(self, limits: impl Into<Vec<CountLimit>>) -> LogWriter<'a> {
        LogWriter { limits: limits.into(), ..self }
    }

    /// With true, has appends decided and appends nothing: what the log would refuse is refused.
    pub fn validating(self, validate_only: bool) -> LogWriter<'a> {
        LogWriter { validate_only, ..self }
    }

    /// Changes an entity and returns it as it is after the change.
    ///
    /// `decide` reads the entity and returns it with the fact that follows, or with None if
    /// nothing has to change. It runs again after a conflict; see [`retry_on_conflict`].
    pub async fn change<E: Entity, F>(
        &self,
        decide: impl Fn() -> F,
        metadata: impl Fn(&E) -> Metadata,
    ) -> Result<E, WriteError>
    where
        F: Future<Output = Result<(E, Option<E::Fact>), Status>>,
    {
        let attempt = || async {
            let (entity, decided) = decide().await?;
            let metadata = metadata(&entity);
            self.record(entity, decided, metadata).await
        };
        retry_on_conflict(attempt).await
    }

    /// Appends the fact that was decided for an entity, if there is one, and returns the entity after it.
    pub async fn record<E: Entity>(
        &self,
        mut entity: E,
        fact: Option<E::Fact>,
        metadata: Metadata,
    ) -> Result<E, WriteError> {
        let Some(fact) = fact else { return Ok(entity) };
        let record = NewRecord::following(&entity, fact.clone());
        let recorded_at = self.try_append(vec![record], metadata).await?;
        entity.apply(&fact, recorded_at);
        Ok(entity)
    }

    /// Appends a record that cannot conflict: the first one of a new entity, or one that is right
    /// whatever else was recorded. Returns its position and the time at which it was recorded.
    pub async fn append(
        &self,
        record: NewRecord,
        metadata: Metadata,
    ) -> Result<(Position, Timestamp), WriteError> {
        self.append_with_bodies(record, Vec::new(), metadata).await
    }

    /// Like [`append`](Self::append), with rows for the body table in the same transaction.
    pub async fn append_with_bodies(
        &self,
        record: NewRecord,
        bodies: Vec<NewBody>,
        metadata: Metadata,
    ) -> Result<(Position, Timestamp), WriteError> {
        let operation = Operation { bodies, ..self.operation(vec![record], metadata) };
        self.commit(operation).await
    }

    /// Does what a request asks for, unless the same request was recorded before: then `repeat`
    /// answers it from what the first one's record is about. Returns the answer, and whether it is a
    /// repetition. ALREADY_EXISTS: the id was used for another request.
    ///
    /// Everything that is costly, or that what has happened since the first request could refuse,
    /// belongs into `act`: a limit that is reached, a state that was left, something that is gone. Of
    /// equal requests at the same moment, `act` may run for several, but the log takes the record of
    /// one, and the others are repetitions, also if what that one has changed has refused them. So
    /// `act` has no effect but its one record, whose metadata has the identity.
    pub async fn once<T, R>(
        &self,
        identity: Option<&IdentifiedRequest>,
        act: impl Future<Output = Result<T, WriteError>>,
        repeat: impl FnOnce(Stream) -> R,
    ) -> Result<(T, bool), Status>
    where
        R: Future<Output = Result<T, Status>>,
    {
        let acted = async {
            self.refuse_repeated(identity).await?;
            act.await
        };
        let refused = match acted.await {
            Ok(done) => return Ok((done, false)),
            Err(WriteError::Repeated(stream)) => return Ok((repeat(stream).await?, true)),
            Err(error) => Status::from(error),
        };
        // The same request may have been recorded while `act` ran, and be what has refused this one.
        match self.refuse_repeated(identity).await {
            Err(WriteError::Repeated(stream)) => Ok((repeat(stream).await?, true)),
            _ => Err(refused),
        }
    }

    /// [`WriteError::Repeated`]: the same request is recorded. ALREADY_EXISTS: another one with its id
    /// is. [`once`](Self::once) begins with this; who has waited meanwhile asks again before the costly
    /// part.
    pub async fn refuse_repeated(
        &self,
        identity: Option<&IdentifiedRequest>,
    ) -> Result<(), WriteError> {
        let Some(identity) = identity else { return Ok(()) };
        self.recorded(identity).await?.map_or(Ok(()), |stream| Err(WriteError::Repeated(stream)))
    }

    /// What the record of the same request is about, if there is one.
    ///
    /// The shard of the keys and the organization's remember their requests apart. That none is done
    /// twice is decided in its own shard; the other one is looked at so that an id is for one request,
    /// on however many shards. Whether a day has passed is judged by this process's clock here. The
    /// append judges again, by that of the records.
    async fn recorded(&self, identity: &IdentifiedRequest) -> Result<Option<Stream>, Status> {
        let others = [Shard::OF_KEYS, self.log.shard_of(self.organization)];
        let others = others.into_iter().filter(|shard| *shard != self.shard);
        for shard in [self.shard].into_iter().chain(others) {
            let found =
                self.log.store().recorded_request(shard, self.organization, &identity.id).await;
            let found = found.map_err(database_errors::query_failed)?;
            let now = (self.clock)();
            match found.map_or(RequestUse::First, |first| first.judge(identity.digest, now)) {
                RequestUse::First => {}
                RequestUse::Repeated(stream) => return Ok(Some(stream)),
                RequestUse::Reused => return Err(status::already_exists_request_id()),
            }
        }
        Ok(None)
    }

    /// Appends all of the records, or none. Returns the time at which they were recorded.
    pub async fn try_append(
        &self,
        records: Vec<NewRecord>,
        metadata: Metadata,
    ) -> Result<Timestamp, WriteError> {
        let (_, recorded_at) = self.commit(self.operation(records, metadata)).await?;
        Ok(recorded_at)
    }

    fn operation(&self, records: Vec<NewRecord>, metadata: Metadata) -> Operation {
        Operation {
            limits: self.limits.clone(),
            validate_only: self.validate_only,
            ..Operation::recording(self.organization, records, metadata, (self.clock)())
        }
    }

    /// Returns the position of the first record.
    async fn commit(&self, operation: Operation) -> Result<(Position, Timestamp), WriteError> {
        match append_operation(self.log, self.shard, operation).await? {
            AppendOutcome::Appended { first, recorded_at, .. }
            | AppendOutcome::Valid { first, recorded_at } => Ok((first, recorded_at)),
            AppendOutcome::Repeated { stream } => Err(WriteError::Repeated(stream)),
            AppendOutcome::Duplicate { .. } => {
                tracing::error!("only an event can be a duplicate");
                Err(AppendError::Failed.into())
            }
        }
    }
}

impl From<Status> for WriteError {
    fn from(status: Status) -> WriteError {
        WriteError::Failed(status)
    }
}

/// The status of a write that no loop repeats, of a request that has no id, and whose limits and ids
/// were judged before.
impl From<WriteError> for Status {
    fn from(error: WriteError) -> Status {
        match error {
            WriteError::Failed(status) => status,
            WriteError::Conflict
            | WriteError::Taken
            | WriteError::LimitReached(_)
            | WriteError::Repeated(_) => {
                tracing::error!(?error, "an append failed");
                status::internal()
            }
        }
    }
}

impl From<AppendError> for WriteError {
    fn from(error: AppendError) -> WriteError {
        match error {
            AppendError::Refused(Refusal::StaleVersion { .. }) => WriteError::Conflict,
            AppendError::Refused(Refusal::StreamExists(_)) => WriteError::Taken,
            AppendError::Refused(Refusal::LimitReached(limit)) => WriteError::LimitReached(limit),
            AppendError::Refused(Refusal::RequestIdReused) => {
                WriteError::Failed(status::already_exists_request_id())
            }
            error => WriteError::Failed(database_errors::append_failed(error)),
        }
    }
}

/// Runs `attempt`, which reads, decides and appends, until it does not conflict. UNAVAILABLE: others
/// have changed the same entity for longer than [`CONFLICT_PATIENCE`]. A caller whose etag is stale
/// does not come so far: `attempt` refuses it when it reads again.
pub async fn retry_on_conflict<T, F>(attempt: impl Fn() -> F) -> Result<T, WriteError>
where
    F: Future<Output = Result<T, WriteError>>,
{
    let end = Instant::now() + CONFLICT_PATIENCE;
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match attempt().await {
            Err(WriteError::Conflict) if Instant::now() < end => {
                sleep(pauses.next_wait().mul_f64(random_share())).await;
            }
            Err(WriteError::Conflict) => {
                return Err(WriteError::Failed(database_errors::contended()));
            }
            done => return done,
        }
    }
}

/// From 0 to 1.
fn random_share() -> f64 {
    f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX)
}

/// Appends an operation and waits for its commit, but no longer than [`COMMIT_TIMEOUT`].
/// [`AppendError::InDoubt`]: the commit may still happen.
pub async fn append_operation(
    log: &Log,
    shard: Shard,
    operation: Operation,
) -> Result<AppendOutcome, AppendError> {
    let committed = timeout(COMMIT_TIMEOUT, log.append(shard, operation)).await;
    committed.unwrap_or(Err(AppendError::InDoubt))
}

#[cfg(test)]
#[path = "log_writer_tests.rs"]
mod tests;

//! Waits for the outcome of a request that a call has appended to the log. The shard's owner
//! records the outcome, in this process or in another one.

use std::sync::Arc;

use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Shard, Stream};
use keeptrusts_webhooks_store::{AppendError, Log};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::database_errors;

/// An outcome that is not recorded yet. Created before the request is appended, so that the outcome
/// cannot be missed.
pub struct RequestOutcome<'a> {
    log: &'a Arc<Log>,
    shard: Shard,
    organization: &'a OrganizationId,
    /// The last record before the request.
    before: Position,
    shutdown: &'a CancellationToken,
}

impl<'a> RequestOutcome<'a> {
    /// For a request that is appended after this call. `shutdown` ends the waiting.
    pub fn of_next_request(
        log: &'a Arc<Log>,
        organization: &'a OrganizationId,
        shutdown: &'a CancellationToken,
    ) -> RequestOutcome<'a> {
        let shard = log.shard_of(organization);
        let before = *log.watch(shard).borrow();
        RequestOutcome { log, shard, organization, before, shutdown }
    }

    /// Waits for a record in `stream` whose fact is the outcome. UNAVAILABLE when the process shuts
    /// down first.
    pub async fn wait(
        self,
        stream: Stream,
        is_outcome: impl Fn(&Fact) -> bool,
    ) -> Result<(), Status> {
        let RequestOutcome { log, shard, organization, before, shutdown } = self;
        let mut follower = log.follow_organization(shard, organization, before);
        loop {
            let next = shutdown.run_until_cancelled(follower.next()).await;
            let own = next.ok_or_else(|| database_errors::append_failed(AppendError::Closed))?;
            let records = own.map_err(database_errors::query_failed)?.records;
            if records.iter().any(|record| record.stream == stream && is_outcome(&record.fact)) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keeptrusts_webhooks_contracts::log_codec::Metadata;
    use keeptrusts_webhooks_domain::access::Role;
    use keeptrusts_webhooks_domain::ids::KeyId;
    use keeptrusts_webhooks_domain::key::{KeyFact, NewKey, TokenDigest};
    use keeptrusts_webhooks_store::testing::memory::MemoryStore;
    use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, system_clock};
    use tokio::time::timeout;
    use tonic::Code;

    use super::*;
    use crate::log_writer::LogWriter;

    const STREAM: Stream = Stream::Key(KeyId::MIN);

    #[tokio::test]
    async fn an_outcome_before_the_wait_is_not_missed_and_a_shutdown_ends_the_wait() {
        let (clock, shutdown) = (system_clock(), CancellationToken::new());
        let store = Arc::new(MemoryStore::new(1, Arc::clone(&clock)));
        let log = Log::start(store).await.expect("it starts");
        let organization = "acme".parse().expect("an id");
        let outcome = RequestOutcome::of_next_request(&log, &organization, &shutdown);

        let new = NewKey {
            display_name: "ci".to_owned(),
            role: Role::Admin,
            token: TokenDigest([7; 32]),
            expire_time: None,
            session: None,
        };
        let fact = Fact::Key(KeyFact::Created(new));
        let created = NewRecord { stream: STREAM, expected: ExpectedVersion::New, fact };
        let writer = LogWriter::of_keys(&log, &clock, &organization);
        writer.append(created, Metadata::default()).await.expect("it is appended");
        let is_created = |fact: &Fact| matches!(fact, Fact::Key(KeyFact::Created(_)));
        // A missed outcome would never come: the time limit makes the test fail instead of hang.
        let waited = timeout(Duration::from_secs(10), outcome.wait(STREAM, is_created)).await;
        waited.expect("the outcome is not missed").expect("it is recorded");

        let outcome = RequestOutcome::of_next_request(&log, &organization, &shutdown);
        shutdown.cancel();
        let ended = outcome.wait(STREAM, is_created).await.expect_err("nothing more comes");
        assert_eq!(ended.code(), Code::Unavailable);
    }
}

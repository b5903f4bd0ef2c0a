//! Limits how many events of one organization may wait for their commit.
//!
//! Events of all organizations on a shard queue for its next transaction. An organization may have no
//! more in the queue than one transaction takes: so others wait for one more transaction at most,
//! however much it publishes.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::keyed_semaphore::{KeyedPermit, KeyedSemaphore};
use keeptrusts_webhooks_process::refused_requests;
use keeptrusts_webhooks_process::shares::LimitReached;
use keeptrusts_webhooks_store::limits::MAX_BATCH_OPERATIONS;
use tokio::time::timeout;
use tonic::Status;

/// Events of one organization that may wait for their commit, in this process.
const MAX_WAITING_EVENTS: u32 = MAX_BATCH_OPERATIONS as u32;
/// Events that one call appends at a time: half of them, so that calls of one organization take
/// turns.
pub(crate) const MAX_EVENTS_PER_APPEND: usize = MAX_BATCH_OPERATIONS / 2;
/// How long a call waits for earlier calls of its organization.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// The resource's name in the metric of refused requests.
const METRIC_NAME: &str = "commit_places";

pub(crate) struct CommitPermits(KeyedSemaphore<OrganizationId>);

impl CommitPermits {
    pub(crate) fn new() -> CommitPermits {
        refused_requests::register(METRIC_NAME);
        CommitPermits(KeyedSemaphore::new(MAX_WAITING_EVENTS))
    }

    /// Waits for a permit for each event. RESOURCE_EXHAUSTED: there were too few in time, and nothing
    /// was accepted.
    pub(crate) async fn acquire(
        &self,
        organization: &OrganizationId,
        events: usize,
    ) -> Result<KeyedPermit, Status> {
        let acquired = timeout(ACQUIRE_TIMEOUT, self.wait(organization, events)).await;
        acquired.map_err(|_| {
            let (limit, remedy) = (LimitReached::Share, "whose limit is fixed");
            refused_requests::record(METRIC_NAME, organization, limit, remedy);
            let message = "as many of the organization's events as may wait for their commit do so already: these were not accepted, send them again later, and fewer at the same time";
            let delay = Duration::from_secs(1);
            status::resource_exhausted_for(delay, Reason::TooManyRequests, message)
        })
    }

    /// Like [`acquire`](Self::acquire), however long it takes: for streams, which can be slowed down.
    pub(crate) async fn wait(&self, organization: &OrganizationId, events: usize) -> KeyedPermit {
        self.0.acquire(organization, u32::try_from(events).unwrap_or(u32::MAX)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_organization_queues_no_more_than_a_transaction_and_delays_no_other() {
        let permits = CommitPermits::new();
        let (greedy, other) = ("greedy".parse().expect("an id"), "other".parse().expect("an id"));
        let first = permits.acquire(&greedy, MAX_EVENTS_PER_APPEND).await.expect("room");
        let _second = permits.acquire(&greedy, MAX_EVENTS_PER_APPEND).await.expect("room");

        let began = Instant::now();
        let refused = permits.acquire(&greedy, 1).await.expect_err("all permits are taken");
        assert_eq!((refused.code(), began.elapsed()), (Code::ResourceExhausted, ACQUIRE_TIMEOUT));
        assert!(permits.acquire(&other, MAX_EVENTS_PER_APPEND).await.is_ok());
        assert_eq!(began.elapsed(), ACQUIRE_TIMEOUT, "nobody else waits");

        drop(first);
        assert!(permits.acquire(&greedy, MAX_EVENTS_PER_APPEND).await.is_ok());
        assert_eq!(began.elapsed(), ACQUIRE_TIMEOUT);
    }
}

//! How much of one organization may wait for its commit.
//!
//! What is published waits in line for the next transaction of its shard, whoever publishes. One
//! organization therefore has no more in that line than a transaction takes: whoever comes next
//! waits for one more transaction at most, however much the others publish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::refusals;
use keeptrusts_webhooks_process::shares::Exhausted;
use keeptrusts_webhooks_store::limits::MAX_BATCH_OPERATIONS;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// The events of one organization that wait for their commit at the same time, in this process.
const MAX_WAITING_EVENTS: usize = MAX_BATCH_OPERATIONS;
/// The events of one call that do: half, so that calls of one organization take turns.
pub(crate) const MAX_EVENTS_AT_ONCE: usize = MAX_WAITING_EVENTS / 2;
/// How long a call waits until others of its organization have made room.
const PATIENCE: Duration = Duration::from_secs(2);
/// The organizations that are remembered; those of which nothing waits are forgotten first.
const MAX_ORGANIZATIONS: usize = 100_000;

/// What metrics call them.
const COMMIT_PLACES: &str = "commit_places";

/// The places of every organization.
pub(crate) struct CommitPlaces(Mutex<HashMap<OrganizationId, Arc<Semaphore>>>);

impl CommitPlaces {
    pub(crate) fn new() -> CommitPlaces {
        refusals::begin(COMMIT_PLACES);
        CommitPlaces(Mutex::default())
    }

    /// Waits for places for so many events; dropping them makes room again. The order is that of
    /// the calls.
    ///
    /// RESOURCE_EXHAUSTED: there was none in time, and nothing was accepted.
    pub(crate) async fn take(
        &self,
        organization: &OrganizationId,
        events: usize,
    ) -> Result<OwnedSemaphorePermit, Status> {
        let places = self.of(organization);
        let events = u32::try_from(events.min(MAX_WAITING_EVENTS)).unwrap_or(u32::MAX);
        let taken = tokio::time::timeout(PATIENCE, places.acquire_many_owned(events)).await;
        match taken {
            Ok(Ok(taken)) => Ok(taken),
            // Nobody closes it.
            Ok(Err(_closed)) => Err(status::internal()),
            Err(_elapsed) => {
                refusals::tell(COMMIT_PLACES, organization, Exhausted::Own, "whose limit is fixed");
                Err(too_many())
            }
        }
    }

    fn of(&self, organization: &OrganizationId) -> Arc<Semaphore> {
        let mut organizations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = organizations.get(organization) {
            return Arc::clone(places);
        }
        if organizations.len() >= MAX_ORGANIZATIONS {
            organizations.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = Arc::new(Semaphore::new(MAX_WAITING_EVENTS));
        organizations.insert(organization.clone(), Arc::clone(&places));
        places
    }
}

fn too_many() -> Status {
    let message = "as many of the organization's events as may wait for their commit do so already: these were not accepted, send them again later, and fewer at the same time";
    status::resource_exhausted_for(Duration::from_secs(1), Reason::TooManyRequests, message)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_organization_has_a_transactions_worth_in_line_and_the_others_do_not_feel_it() {
        let places = CommitPlaces::new();
        let (greedy, other) = ("greedy".parse().expect("an id"), "other".parse().expect("an id"));
        let first = places.take(&greedy, MAX_EVENTS_AT_ONCE).await.expect("room");
        let _second = places.take(&greedy, MAX_EVENTS_AT_ONCE).await.expect("room");

        let began = Instant::now();
        let refused = places.take(&greedy, 1).await.expect_err("all places are taken");
        assert_eq!((refused.code(), began.elapsed()), (Code::ResourceExhausted, PATIENCE));
        assert!(places.take(&other, MAX_EVENTS_AT_ONCE).await.is_ok());
        assert_eq!(began.elapsed(), PATIENCE, "nobody else waits");

        drop(first);
        assert!(places.take(&greedy, MAX_EVENTS_AT_ONCE).await.is_ok());
        assert_eq!(began.elapsed(), PATIENCE);
    }
}

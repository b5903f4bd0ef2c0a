//! How much of one organization may wait for its commit.
//!
//! What is published waits in line for the next transaction of its shard, whoever publishes. One
//! organization therefore has no more in that line than a transaction takes: whoever comes next
//! waits for one more transaction at most, however much the others publish.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::lanes::{InLane, Lanes};
use keeptrusts_webhooks_process::refusals;
use keeptrusts_webhooks_process::shares::Exhausted;
use keeptrusts_webhooks_store::limits::MAX_BATCH_OPERATIONS;
use tokio::time::timeout;
use tonic::Status;

/// The events of one organization that wait for their commit at the same time, in this process.
const MAX_WAITING_EVENTS: u32 = MAX_BATCH_OPERATIONS as u32;
/// The events of one call that do: half, so that calls of one organization take turns.
pub(crate) const MAX_EVENTS_AT_ONCE: usize = MAX_BATCH_OPERATIONS / 2;
/// How long a call waits until others of its organization have made room.
const PATIENCE: Duration = Duration::from_secs(2);
/// What metrics call it if there is none.
const COMMIT_PLACES: &str = "commit_places";

/// The places of every organization.
pub(crate) struct CommitPlaces(Lanes<OrganizationId>);

impl CommitPlaces {
    pub(crate) fn new() -> CommitPlaces {
        refusals::begin(COMMIT_PLACES);
        CommitPlaces(Lanes::new(MAX_WAITING_EVENTS))
    }

    /// Waits for places for so many events; dropping them makes room again.
    ///
    /// RESOURCE_EXHAUSTED: there was none in time, and nothing was accepted.
    pub(crate) async fn take(
        &self,
        organization: &OrganizationId,
        events: usize,
    ) -> Result<InLane, Status> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let taken = timeout(PATIENCE, self.0.enter(organization, events)).await;
        taken.map_err(|_| {
            refusals::tell(COMMIT_PLACES, organization, Exhausted::Own, "whose limit is fixed");
            let message = "as many of the organization's events as may wait for their commit do so already: these were not accepted, send them again later, and fewer at the same time";
            let delay = Duration::from_secs(1);
            status::resource_exhausted_for(delay, Reason::TooManyRequests, message)
        })
    }
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

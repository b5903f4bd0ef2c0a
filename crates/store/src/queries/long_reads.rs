//! Long reads: those that go through much of an organization's history wait in queues of their own,
//! so that they leave processors, disk and connections to publishing and to short reads.
//!
//! Decision: docs/decisions/long-reads-have-a-budget.md

use std::time::Duration;

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_fair_queue::{FairQueue, Permit};
use tokio::time::timeout;

use crate::limits::{
    CATCH_UPS, LONG_READS, LONG_READS_PER_ORGANIZATION, MAX_LONG_READ_WAIT, MAX_WAITING_LONG_READS,
};
use crate::log::metrics::{self, LongRead};

/// The queues of a process. A permit is given back by dropping it.
#[derive(Debug)]
pub struct LongReads {
    reads: FairQueue,
    /// Of followers that are behind. Each of their reads waits anew, and none is refused, because
    /// streams are limited already.
    catch_ups: FairQueue,
}

/// Too many long reads of the organization wait, or one has waited for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many long reads of the organization are under way")]
pub struct TooManyLongReads {
    /// How long to wait before the next attempt.
    pub retry_delay: Duration,
}

/// How long to wait after a refusal.
const RETRY_DELAY: Duration = Duration::from_secs(5);

impl Default for LongReads {
    fn default() -> LongReads {
        let waiting = Some(MAX_WAITING_LONG_READS);
        LongReads {
            reads: FairQueue::new(LONG_READS, LONG_READS_PER_ORGANIZATION, waiting),
            catch_ups: FairQueue::new(CATCH_UPS, CATCH_UPS, None),
        }
    }
}

impl LongReads {
    /// Waits for a permit for a long read, at most [`MAX_LONG_READ_WAIT`].
    pub async fn take(&self, organization: &OrganizationId) -> Result<Permit, TooManyLongReads> {
        match timeout(MAX_LONG_READ_WAIT, self.reads.take(organization)).await {
            Ok(Ok(permit)) => {
                metrics::long_read(LongRead::Begun);
                Ok(permit)
            }
            Ok(Err(_)) | Err(_) => {
                metrics::long_read(LongRead::Refused);
                Err(TooManyLongReads { retry_delay: RETRY_DELAY })
            }
        }
    }

    /// Waits for a permit for one read of a follower that is behind.
    pub(crate) async fn catch_up(&self, organization: &OrganizationId) -> Option<Permit> {
        // It is never None: this queue refuses nobody.
        self.catch_ups.take(organization).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn id(name: &str) -> OrganizationId {
        name.parse().expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_8_an_organizations_long_reads_do_not_delay_others() {
        let reads = Arc::new(LongReads::default());
        let mut long = Vec::new();
        for _ in 0..=MAX_WAITING_LONG_READS {
            let reads = Arc::clone(&reads);
            long.push(tokio::spawn(async move {
                let _permit = reads.take(&id("busy")).await?;
                std::future::pending::<Result<(), TooManyLongReads>>().await
            }));
        }
        // When this task goes on, all of them wait.
        tokio::task::yield_now().await;
        assert!(reads.take(&id("busy")).await.is_err(), "too many wait");
        drop(reads.take(&id("other")).await.expect("it has a permit"));
        // One reads for ever; the others give up waiting.
        tokio::time::sleep(MAX_LONG_READ_WAIT + Duration::from_secs(1)).await;
        assert_eq!(long.iter().filter(|read| !read.is_finished()).count(), 1);
        drop(reads.take(&id("other")).await.expect("it has a permit"));
        long.iter().for_each(|read| read.abort());
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_catches_up_waits_only_for_other_followers() {
        let reads = Arc::new(LongReads::default());
        let _busy = reads.take(&id("busy")).await.expect("it has a permit");
        let _other = reads.take(&id("other")).await.expect("it has a permit");
        let step = reads.catch_up(&id("busy")).await.expect("it has a permit");
        let waiting: Vec<_> = (0..=MAX_WAITING_LONG_READS)
            .map(|_| {
                let reads = Arc::clone(&reads);
                tokio::spawn(async move { reads.catch_up(&id("busy")).await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "one step at a time");
        drop(step);
        for waiting in waiting {
            assert!(waiting.await.expect("no panic"), "none is refused");
        }
    }
}

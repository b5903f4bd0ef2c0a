//! Reads that go through much of an organization's history wait in a line of their own, so that
//! those of one organization do not slow down what others publish.

use std::time::Duration;

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_rendering::Places;
use tokio::time::timeout;
use tonic::Status;

/// So many run at a time in a process, of all organizations.
const PLACES: usize = 2;
/// And of one.
const SHARE: usize = 1;
/// So many of an organization may wait.
const WAITING: usize = 16;
/// How long one waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// When a refused one may be tried again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

pub(super) struct HeavyReads(Places);

impl Default for HeavyReads {
    fn default() -> HeavyReads {
        HeavyReads(Places::new(PLACES, SHARE, Some(WAITING)))
    }
}

impl HeavyReads {
    /// Reads when it is the organization's turn. RESOURCE_EXHAUSTED, with the time to try again
    /// after, if too many of its reads wait, or if it takes too long.
    pub(super) async fn run<T>(
        &self,
        organization: &OrganizationId,
        read: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Ok(Ok(_place)) = timeout(MAX_WAIT, self.0.take(organization)).await else {
            let message = "too many long reads of the organization are under way: try again later";
            return Err(status::resource_exhausted_for(RETRY_DELAY, Reason::Overloaded, message));
        };
        read.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use tonic::Code;

    use super::*;

    fn id(name: &str) -> OrganizationId {
        name.parse().expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_8_an_organizations_long_reads_do_not_keep_others_waiting() {
        let reads = Arc::new(HeavyReads::default());
        let mut long = Vec::new();
        for _ in 0..=WAITING {
            let reads = Arc::clone(&reads);
            let endless = async move { reads.run::<()>(&id("busy"), pending()).await };
            long.push(tokio::spawn(endless));
        }
        // All of them have asked when this task goes on.
        tokio::task::yield_now().await;
        let refused = reads.run(&id("busy"), ready(Ok(()))).await.expect_err("too many wait");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        reads.run(&id("other"), ready(Ok(()))).await.expect("it has a place");
        // One reads for ever; the others give up waiting.
        tokio::time::sleep(MAX_WAIT + Duration::from_secs(1)).await;
        assert_eq!(long.iter().filter(|read| !read.is_finished()).count(), 1);
        reads.run(&id("other"), ready(Ok(()))).await.expect("it has a place");
        long.iter().for_each(|read| read.abort());
    }
}

//! How long a request may still take, and has taken: the receiver's time, and not ours.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Counts the time of one request. It stands still while the request waits for something of our
/// own, such as a slot among the connections that this process may have.
pub(crate) struct RequestTimer {
    started: Instant,
    limit: Duration,
}

impl RequestTimer {
    pub(crate) fn start(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// Waits for `ours`. What it takes does not count.
    pub(crate) async fn paused_during<Output>(
        &mut self,
        ours: impl Future<Output = Output>,
    ) -> Output {
        let stopped = Instant::now();
        let output = ours.await;
        self.started += stopped.elapsed();
        output
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the time is over, unless it stands still before.
    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.limit
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_is_waited_for_ourselves_does_not_count() {
        const SECOND: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        let mut timer = RequestTimer::start(10 * SECOND);
        advance(2 * SECOND).await;
        timer.paused_during(sleep(60 * SECOND)).await;
        advance(3 * SECOND).await;
        assert_eq!(timer.elapsed(), 5 * SECOND);
        assert_eq!(timer.deadline(), begun + 70 * SECOND);
    }
}

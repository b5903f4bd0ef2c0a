//! Measures the time of a request without what it spends waiting for this process.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// It is paused while the request waits for something of our own, such as a slot of the pool.
pub(crate) struct RequestTimer {
    started: Instant,
    limit: Duration,
}

impl RequestTimer {
    pub(crate) fn start(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// Waits for `ours`, which does not count.
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

    /// When the time is up, unless it is paused before.
    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.limit
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_does_not_count() {
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

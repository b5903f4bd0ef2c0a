//! Exponential backoff.

use std::time::Duration;

use tokio::time::sleep;

/// Waits that double from the first one to the longest.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, next: first }
    }

    /// How long to wait now, for callers that do something else meanwhile.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        wait
    }

    pub async fn wait(&mut self) {
        sleep(self.next_wait()).await;
    }

    /// The next wait is the first one again. For when an attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Attempts until one succeeds. Calls `note_failure` after each failure, then waits. To give up, drop
/// the future.
pub async fn retry<T, E, F>(
    mut backoff: Backoff,
    mut attempt: impl FnMut() -> F,
    mut note_failure: impl FnMut(&E),
) -> T
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => note_failure(&error),
        }
        backoff.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_reset() {
        let mut backoff = BACKOFF;
        let waits: Vec<_> = (0..8).map(|_| backoff.next_wait().as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        backoff.reset();
        assert_eq!(backoff.next_wait().as_millis(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn it_retries_until_it_succeeds_and_notes_each_failure() {
        let (began, mut attempts, mut failures) = (Instant::now(), 0, Vec::new());
        let attempt = || {
            attempts += 1;
            std::future::ready(if attempts < 4 { Err(attempts) } else { Ok("done") })
        };
        let done = retry(BACKOFF, attempt, |attempt: &i32| failures.push(*attempt)).await;
        assert_eq!((done, failures), ("done", vec![1, 2, 3]));
        assert_eq!(began.elapsed().as_millis(), 50 + 100 + 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_gives_up_by_dropping_the_future() {
        let attempt = || std::future::ready(Err::<(), _>("away"));
        let mut failures = 0;
        let trying = retry(BACKOFF, attempt, |_| failures += 1);
        tokio::time::timeout(Duration::from_secs(1), trying).await.expect_err("it is away");
        assert_eq!(failures, 5);
    }
}

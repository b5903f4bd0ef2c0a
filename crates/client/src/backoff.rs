//! How long to wait before the next try. Pure.

use std::time::Duration;

/// An exponential backoff with full jitter: a random wait between nothing and a limit that doubles. So
/// many clients of a server that comes back do not come all at once.
/// (AWS Architecture Blog, "Exponential Backoff And Jitter".)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    limit: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Backoff {
        Backoff { limit: shortest.min(longest), longest }
    }

    /// The next wait, for a random number from 0 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let wait = self.limit.mul_f64(random.clamp(0.0, 1.0));
        self.limit = self.limit.saturating_mul(2).min(self.longest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_the_longest_wait() {
        let milliseconds = Duration::from_millis;
        let mut backoff = Backoff::new(milliseconds(100), milliseconds(350));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits, [100, 200, 350, 350].map(milliseconds));
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(0.5), milliseconds(175));
    }
}

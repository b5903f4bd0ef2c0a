//! A lease in this process's hands, and how long it may be relied on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use keeptrusts_webhooks_store::Lease;
use tokio::sync::watch;
use tokio::time::Instant;

/// A lease that is held. Clones share its validity.
#[derive(Clone)]
pub(crate) struct HeldLease {
    lease: Lease,
    /// None: it never ends by itself.
    valid_until: Arc<Mutex<Option<Instant>>>,
    extended: watch::Sender<()>,
}

impl HeldLease {
    /// A lease that was asked for at `asked`, so that it lasts at least until `asked` and its
    /// time to live, less a margin for what is on its way then. None: for ever.
    pub(crate) fn new(lease: Lease, asked: Instant, time_to_live: Option<Duration>) -> HeldLease {
        let valid_until = time_to_live.map(|time_to_live| end(asked, time_to_live));
        HeldLease {
            lease,
            valid_until: Arc::new(Mutex::new(valid_until)),
            extended: watch::Sender::new(()),
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lease
    }

    pub(crate) fn shard(&self) -> Shard {
        self.lease.shard
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.lease.epoch
    }

    /// It was renewed by a request that was sent at `asked`.
    pub(crate) fn extend(&self, asked: Instant, time_to_live: Duration) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(end(asked, time_to_live));
        self.extended.send_replace(());
    }

    /// Whether it may still be relied on. The monotonic clock goes on while a process is frozen.
    pub(crate) fn is_valid(&self) -> bool {
        self.ends_at().is_none_or(|end| Instant::now() < end)
    }

    /// Waits until it may not be relied on any more.
    pub(crate) async fn expired(&self) {
        let mut extended = self.extended.subscribe();
        loop {
            let Some(end) = self.ends_at() else { return std::future::pending().await };
            tokio::select! {
                () = tokio::time::sleep_until(end) => {
                    if !self.is_valid() {
                        return;
                    }
                }
                // We hold the sender ourselves.
                _ = extended.changed() => {}
            }
        }
    }

    fn ends_at(&self) -> Option<Instant> {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(asked: Instant, time_to_live: Duration) -> Instant {
    asked + time_to_live - time_to_live / 10
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::log::{Epoch, Shard};

    use super::*;

    const TIME_TO_LIVE: Duration = Duration::from_secs(10);

    fn held() -> HeldLease {
        let lease = Lease { shard: Shard(0), epoch: Epoch(1) };
        HeldLease::new(lease, Instant::now(), Some(TIME_TO_LIVE))
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_5_a_lease_is_given_up_before_the_database_gives_it_to_another() {
        let held = held();
        let begun = Instant::now();
        held.expired().await;
        assert!(begun.elapsed() < TIME_TO_LIVE);
        assert!(!held.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_lease_lasts_from_when_the_renewal_was_asked_for() {
        let held = held();
        let begun = Instant::now();
        let expired = held.expired();
        tokio::pin!(expired);
        assert!(tokio::time::timeout(Duration::from_secs(5), &mut expired).await.is_err());
        held.extend(Instant::now(), TIME_TO_LIVE);
        expired.await;
        assert!(begun.elapsed() > TIME_TO_LIVE);
    }
}

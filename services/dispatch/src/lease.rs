//! A shard's lease, and how long this process may rely on it.
//!
//! Decision: docs/decisions/leases-with-epochs.md

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_domain::log::{Epoch, Shard};
use keeptrusts_webhooks_store::Lease;
use tokio::sync::watch;

use crate::Uptime;

/// A lease that this process holds. Clones share its validity.
#[derive(Clone)]
pub(crate) struct HeldLease {
    lease: Lease,
    /// On the uptime's clock. None: it never ends by itself.
    valid_until: Arc<Mutex<Option<Duration>>>,
    extended: watch::Sender<()>,
    /// Continues while this process is frozen or the machine asleep.
    uptime: Uptime,
}

impl HeldLease {
    /// A lease that was requested at `requested_at` on the uptime's clock. It is valid until then
    /// plus its time to live, minus a margin for requests on their way. None: for ever.
    pub(crate) fn new(
        lease: Lease,
        requested_at: Duration,
        time_to_live: Option<Duration>,
        uptime: Uptime,
    ) -> HeldLease {
        let valid_until = time_to_live.map(|time_to_live| end(requested_at, time_to_live));
        HeldLease {
            lease,
            valid_until: Arc::new(Mutex::new(valid_until)),
            extended: watch::Sender::new(()),
            uptime,
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

    /// Extends the lease, which a request sent at `requested_at` has renewed.
    pub(crate) fn extend(&self, requested_at: Duration, time_to_live: Duration) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(end(requested_at, time_to_live));
        self.extended.send_replace(());
    }

    /// Whether it may still be relied on.
    pub(crate) fn is_valid(&self) -> bool {
        self.left().is_none_or(|left| !left.is_zero())
    }

    /// Waits until it may not be relied on any more.
    pub(crate) async fn expired(&self) {
        let mut extended = self.extended.subscribe();
        loop {
            let Some(left) = self.left() else { return std::future::pending().await };
            tokio::select! {
                () = tokio::time::sleep(left) => {
                    if !self.is_valid() {
                        return;
                    }
                }
                // This process holds the sender.
                _ = extended.changed() => {}
            }
        }
    }

    fn left(&self) -> Option<Duration> {
        let end = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        end.map(|end| end.saturating_sub((self.uptime)()))
    }
}

fn end(requested_at: Duration, time_to_live: Duration) -> Duration {
    requested_at + time_to_live - time_to_live / 10
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::log::{Epoch, Shard};
    use tokio::time::Instant;

    use super::*;

    const TIME_TO_LIVE: Duration = Duration::from_secs(10);

    fn held() -> HeldLease {
        let lease = Lease { shard: Shard(0), epoch: Epoch(1) };
        let begun = Instant::now();
        let uptime: Uptime = Arc::new(move || begun.elapsed());
        HeldLease::new(lease, uptime(), Some(TIME_TO_LIVE), uptime)
    }

    #[tokio::test(start_paused = true)]
    async fn invariant_5_a_lease_is_given_up_before_the_database_gives_it_to_another() {
        let held = held();
        let begun = Instant::now();
        held.expired().await;
        assert!(begun.elapsed() < TIME_TO_LIVE);
        assert!(!held.is_valid());
    }

    /// Timers stop meanwhile, but each request checks the lease.
    #[tokio::test(start_paused = true)]
    async fn invariant_5_a_lease_that_ran_out_while_the_machine_was_asleep_is_not_valid() {
        let lease = Lease { shard: Shard(0), epoch: Epoch(1) };
        let slept = Arc::new(Mutex::new(Duration::ZERO));
        let uptime: Uptime = {
            let slept = Arc::clone(&slept);
            Arc::new(move || *slept.lock().expect("not poisoned"))
        };
        let held = HeldLease::new(lease, uptime(), Some(TIME_TO_LIVE), uptime);
        assert!(held.is_valid());
        *slept.lock().expect("not poisoned") = TIME_TO_LIVE;
        assert!(!held.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_lease_lasts_from_when_the_renewal_was_asked_for() {
        let held = held();
        let begun = Instant::now();
        let expired = held.expired();
        tokio::pin!(expired);
        assert!(tokio::time::timeout(Duration::from_secs(5), &mut expired).await.is_err());
        held.extend((held.uptime)(), TIME_TO_LIVE);
        expired.await;
        assert!(begun.elapsed() > TIME_TO_LIVE);
    }
}

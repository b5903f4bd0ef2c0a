//! Wall clocks that can be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::SignedDuration;
use keeptrusts_webhooks_store::Clock;

/// A wall clock. Clones are the same clock.
#[derive(Clone)]
pub(super) struct WallClock {
    right: Clock,
    /// How far it is ahead of the true time, in microseconds.
    ahead: Arc<AtomicI64>,
}

impl WallClock {
    pub(super) fn right(right: Clock) -> WallClock {
        WallClock { right, ahead: Arc::default() }
    }

    pub(super) fn step(&self, step: SignedDuration) {
        self.ahead.fetch_add(step.as_micros() as i64, Ordering::Relaxed);
    }

    pub(super) fn as_clock(&self) -> Clock {
        let WallClock { right, ahead } = self.clone();
        Arc::new(move || right() + SignedDuration::from_micros(ahead.load(Ordering::Relaxed)))
    }
}

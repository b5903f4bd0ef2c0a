//! The steady clock: the clock that waits are measured by.
//!
//! Wall clocks step: an operator sets them, a virtual machine wakes up, NTP corrects them. A retry
//! that is due "at 12:01" would be made at once, or hours late. So due times are on a clock of the
//! shard that never steps. It begins as a wall clock, advances with the uptime of the owner's
//! machine, and is handed from owner to owner in the shard's row ([`SteadyTime`]). It may differ
//! from every wall clock, and nobody is shown it.
//!
//! Decision: docs/decisions/the-steady-clock.md

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_store::SteadyTime;

/// How long the machine has been running. It only grows, at the pace of real time, even while the
/// process is frozen or the machine asleep. Its starting point does not matter.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

#[cfg(target_os = "linux")]
pub fn machine_uptime() -> Uptime {
    use rustix::time::{ClockId, clock_gettime};
    // CLOCK_MONOTONIC, which std and tokio use, stops while the machine is asleep.
    Arc::new(|| {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    })
}

#[cfg(not(target_os = "linux"))]
pub fn machine_uptime() -> Uptime {
    let begun = std::time::Instant::now();
    Arc::new(move || begun.elapsed())
}

/// A shard's steady clock, in the hands of its owner.
pub(crate) struct SteadyClock {
    uptime: Uptime,
    /// What it showed when the uptime was zero, in microseconds since 1970.
    base: AtomicI64,
    /// The same for [`SteadyClock::wall`].
    wall_base: i64,
}

impl SteadyClock {
    /// A clock that shows `wall` now, for a shard that had none.
    pub(crate) fn beginning(wall: Timestamp, uptime: Uptime) -> SteadyClock {
        let running = i64::try_from(uptime().as_micros()).unwrap_or(i64::MAX);
        let wall_base = wall.as_microsecond().saturating_sub(running);
        SteadyClock { uptime, base: AtomicI64::new(wall_base), wall_base }
    }

    /// Continues where the last owner stopped. It shows no less than the last owner has seen, so
    /// that nothing waits longer than was recorded. The database tells how much time has passed
    /// since; if its clock was set forward meanwhile, attempts come early, each once.
    pub(crate) fn go_on(&self, last: SteadyTime) {
        self.set(last.time.checked_add(last.age).unwrap_or(last.time));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.since(self.base.load(Ordering::Relaxed))
    }

    /// The wall clock of the owner's beginning, advanced without steps. It is for notifications,
    /// whose due times are stored without the steady time, and for weeks, which end by the
    /// calendar. The next owner begins with its own wall clock; what it finds waits no longer than
    /// the longest wait.
    pub(crate) fn wall(&self) -> Timestamp {
        self.since(self.wall_base)
    }

    fn since(&self, base: i64) -> Timestamp {
        let now = base.saturating_add(self.running());
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }

    fn set(&self, now: Timestamp) {
        let base = now.as_microsecond().saturating_sub(self.running());
        self.base.store(base, Ordering::Relaxed);
    }

    fn running(&self) -> i64 {
        i64::try_from((self.uptime)().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn uptime_of(seconds: &Arc<AtomicU64>) -> Uptime {
        let seconds = Arc::clone(seconds);
        Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed)))
    }

    #[test]
    fn it_begins_as_a_wall_clock_and_advances_with_the_uptime() {
        let uptime = Arc::new(AtomicU64::new(1_000));
        let clock = SteadyClock::beginning(at(1_000_000), uptime_of(&uptime));
        assert_eq!(clock.now(), at(1_000_000));
        uptime.store(1_060, Ordering::Relaxed);
        assert_eq!(clock.now(), at(1_000_060));
    }

    #[test]
    fn the_next_owner_continues_whatever_its_wall_clock_shows() {
        let uptime = Arc::new(AtomicU64::new(7));
        for wall in [0, 1_000_000, 4_000_000_000] {
            let clock = SteadyClock::beginning(at(wall), uptime_of(&uptime));
            clock.go_on(SteadyTime { time: at(500), age: Duration::from_secs(30) });
            assert_eq!(clock.now(), at(530));
        }
    }

    #[test]
    fn its_wall_clock_is_the_owners_own_and_does_not_step() {
        let uptime = Arc::new(AtomicU64::new(7));
        let clock = SteadyClock::beginning(at(1_000_000), uptime_of(&uptime));
        clock.go_on(SteadyTime { time: at(500), age: Duration::ZERO });
        uptime.store(17, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.wall()), (at(510), at(1_000_010)));
    }

    #[test]
    fn the_machines_uptime_grows() {
        let uptime = machine_uptime();
        let begun = uptime();
        while uptime() == begun {
            std::hint::spin_loop();
        }
        assert!(uptime() > begun);
    }
}

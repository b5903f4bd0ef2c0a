//! The steady clock: what waits are measured by.
//!
//! Wall clocks step: an operator sets them, a virtual machine wakes up, NTP corrects them. A retry
//! that is due "at 12:01" would be made at once, or hours late. So the times that something is
//! waited for are on a clock of the shard that never steps: it begins as a wall clock, goes on with
//! the time that the owner's machine has been running, and is handed from owner to owner in the
//! shard's row ([`SteadyTime`]). What it shows may differ from every wall clock, and is shown to
//! nobody.
//!
//! Decision: docs/decisions/the-steady-clock.md

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_store::SteadyTime;

/// How long the machine has been running: it only ever grows, and at the pace of real time, also
/// while the process is frozen or the machine asleep. Where it begins does not matter.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The machine's own.
#[cfg(target_os = "linux")]
pub fn machine_uptime() -> Uptime {
    use rustix::time::{ClockId, clock_gettime};
    // CLOCK_MONOTONIC, which std and tokio have, stands still while the machine is asleep.
    Arc::new(|| {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    })
}

/// The machine's own.
#[cfg(not(target_os = "linux"))]
pub fn machine_uptime() -> Uptime {
    let begun = std::time::Instant::now();
    Arc::new(move || begun.elapsed())
}

/// A shard's steady clock in its owner's hands.
pub(crate) struct SteadyClock {
    uptime: Uptime,
    /// What it showed when the uptime was zero, in microseconds since 1970.
    base: AtomicI64,
    /// The same of [`SteadyClock::wall`].
    wall_base: i64,
}

impl SteadyClock {
    /// A clock that shows `wall` now: that of a shard that had none.
    pub(crate) fn beginning(wall: Timestamp, uptime: Uptime) -> SteadyClock {
        let running = i64::try_from(uptime().as_micros()).unwrap_or(i64::MAX);
        let wall_base = wall.as_microsecond().saturating_sub(running);
        SteadyClock { uptime, base: AtomicI64::new(wall_base), wall_base }
    }

    /// Goes on where the last owner stopped. It shows no less than the last owner has seen, so that
    /// nothing waits longer than was recorded. What has passed since is the database's to say: if
    /// its clock was set forward meanwhile, attempts come early, each once.
    pub(crate) fn go_on(&self, last: SteadyTime) {
        self.set(last.time.checked_add(last.age).unwrap_or(last.time));
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.since(self.base.load(Ordering::Relaxed))
    }

    /// What the wall clock showed when the owner began, and since then without steps: for
    /// notifications, whose due times are stored without the steady time, and for weeks, which end
    /// by the calendar. The next owner begins with its own, and waits no longer than the longest
    /// wait for what it finds.
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
    fn it_begins_as_a_wall_clock_and_goes_on_with_the_machine() {
        let uptime = Arc::new(AtomicU64::new(1_000));
        let clock = SteadyClock::beginning(at(1_000_000), uptime_of(&uptime));
        assert_eq!(clock.now(), at(1_000_000));
        uptime.store(1_060, Ordering::Relaxed);
        assert_eq!(clock.now(), at(1_000_060));
    }

    #[test]
    fn the_next_owner_goes_on_whatever_its_wall_clock_shows() {
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

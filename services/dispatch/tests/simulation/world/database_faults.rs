//! Faults of the database: calls that are delayed, fail, or lose their answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keeptrusts_webhooks_testkit::random::Random;

/// What goes wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing was done.
    Unavailable,
    /// A commit's answer was lost; it did not happen.
    LostBefore,
    /// A commit's answer was lost; it happened.
    LostAfter,
}

const LEASE_WRITES: [&str; 5] =
    ["acquire_lease", "renew_lease", "release_lease", "heartbeat", "leave"];

/// Applies to all processes. There are no faults until a test injects some.
pub(crate) struct DatabaseFaults(Mutex<Conditions>);

struct Conditions {
    random: Random,
    fault_percent: u64,
    shortest_delay: Duration,
    longest_delay: Duration,
    loses_next_answer: bool,
    outage: Option<Outage>,
    /// A table whose rows are of a newer version.
    newer_table: Option<&'static str>,
}

/// What the database does not do during an outage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    Total,
    /// It answers reads only: its disk is full, or it is a replica at the moment.
    Writes,
}

impl DatabaseFaults {
    pub(crate) fn none() -> DatabaseFaults {
        DatabaseFaults(Mutex::new(no_faults()))
    }

    /// So many percent of calls fail; each is delayed by up to `longest_delay` on each way.
    pub(crate) fn inject(&self, seed: u64, fault_percent: u64, longest_delay: Duration) {
        *self.conditions() = Conditions {
            random: Random::of_seed(seed),
            fault_percent,
            longest_delay,
            ..no_faults()
        };
    }

    /// Every call is delayed by so long on its way to the database, and again on its way back.
    pub(crate) fn slow(&self, delay: Duration) {
        let mut conditions = self.conditions();
        (conditions.shortest_delay, conditions.longest_delay) = (delay, delay);
    }

    /// The next append happens, but its answer is lost.
    pub(crate) fn lose_next_answer(&self) {
        self.conditions().loses_next_answer = true;
    }

    pub(crate) fn stop(&self) {
        *self.conditions() = no_faults();
    }

    pub(crate) fn set_outage(&self, outage: Option<Outage>) {
        self.conditions().outage = outage;
    }

    pub(crate) fn set_newer_table(&self, table: Option<&'static str>) {
        self.conditions().newer_table = table;
    }

    /// Whether the rows of a table are of a newer version.
    pub(crate) fn is_newer(&self, table: &str) -> bool {
        self.conditions().newer_table == Some(table)
    }

    pub(crate) async fn delay(&self) {
        let delay = {
            let mut conditions = self.conditions();
            let Conditions { shortest_delay, longest_delay, .. } = *conditions;
            let spread = (longest_delay - shortest_delay).as_millis() as u64;
            shortest_delay + Duration::from_millis(conditions.random.below(spread + 1))
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// The fault of a call of this method, if any.
    pub(crate) fn fault(&self, method: &str) -> Option<Fault> {
        let is_append = method == "append";
        let is_write = is_append || LEASE_WRITES.contains(&method);
        let mut conditions = self.conditions();
        match conditions.outage {
            Some(Outage::Total) => return Some(Fault::Unavailable),
            Some(Outage::Writes) if is_write => return Some(Fault::Unavailable),
            _ => {}
        }
        if is_append && std::mem::take(&mut conditions.loses_next_answer) {
            return Some(Fault::LostAfter);
        }
        let percent = conditions.fault_percent;
        if !conditions.random.chance(percent) {
            return None;
        }
        match conditions.random.below(3) {
            0 if is_append => Some(Fault::LostBefore),
            1 if is_append => Some(Fault::LostAfter),
            _ => Some(Fault::Unavailable),
        }
    }

    /// Announcements may be lost.
    pub(crate) fn loses_hint(&self) -> bool {
        let mut conditions = self.conditions();
        let percent = conditions.fault_percent;
        conditions.random.chance(percent)
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_faults() -> Conditions {
    Conditions {
        random: Random::of_seed(0),
        fault_percent: 0,
        shortest_delay: Duration::ZERO,
        longest_delay: Duration::ZERO,
        loses_next_answer: false,
        outage: None,
        newer_table: None,
    }
}

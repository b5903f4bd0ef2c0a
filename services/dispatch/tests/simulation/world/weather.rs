//! How well the database answers: at once and always, or late and not always.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::random::Random;

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

/// The same for all processes. Fair until a test says otherwise.
pub(crate) struct Weather(Mutex<Conditions>);

struct Conditions {
    random: Random,
    fault_percent: u64,
    longest_delay: Duration,
    away: Option<Away>,
}

/// What the database does not do at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    Entirely,
    /// It answers, but cannot write: its disk is full, or it is a replica for the moment.
    ForAppends,
}

impl Weather {
    pub(crate) fn fair() -> Weather {
        Weather(Mutex::new(Conditions {
            random: Random::of_seed(0),
            fault_percent: 0,
            longest_delay: Duration::ZERO,
            away: None,
        }))
    }

    pub(crate) fn storm(&self, seed: u64, fault_percent: u64, longest_delay: Duration) {
        let random = Random::of_seed(seed);
        *self.conditions() = Conditions { random, fault_percent, longest_delay, away: None };
    }

    pub(crate) fn calm(&self) {
        self.storm(0, 0, Duration::ZERO);
    }

    pub(crate) fn set_away(&self, away: Option<Away>) {
        self.conditions().away = away;
    }

    pub(crate) async fn delay(&self) {
        let delay = {
            let mut conditions = self.conditions();
            let longest = conditions.longest_delay.as_millis() as u64;
            Duration::from_millis(conditions.random.below(longest + 1))
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    pub(crate) fn fault(&self, is_append: bool) -> Option<Fault> {
        let mut conditions = self.conditions();
        match conditions.away {
            Some(Away::Entirely) => return Some(Fault::Unavailable),
            Some(Away::ForAppends) if is_append => return Some(Fault::Unavailable),
            _ => {}
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

    /// Announcements of positions are hints: some may be lost.
    pub(crate) fn loses_hint(&self) -> bool {
        let mut conditions = self.conditions();
        let percent = conditions.fault_percent;
        conditions.random.chance(percent)
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

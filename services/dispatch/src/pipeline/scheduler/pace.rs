//! How fast an endpoint's automatic attempts follow each other, apart from other limits.
//!
//! Decision: docs/decisions/a-pause-is-part-of-an-attempt.md

use keeptrusts_webhooks_domain::Timestamp;

use super::effect::AttemptEnd;

/// A receiver that is overloaded or busy says how long to leave it alone. Afterwards, the waiting
/// deliveries must not come all at once: one attempt goes first, as a probe, and each success
/// permits one more at the same time. So their number doubles with every round trip, as in TCP's
/// slow start (RFC 5681 section 3.1), until the limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pace {
    /// There is no pause.
    #[default]
    Full,
    /// None begins before then.
    Paused { until: Timestamp },
    /// At most so many at the same time.
    Ramping { at_once: usize },
}

impl Pace {
    /// The receiver asks for a pause. Of several pauses the one that ends last counts.
    pub(super) fn pause(&mut self, until: Timestamp) {
        let until = match *self {
            Pace::Paused { until: before } => before.max(until),
            Pace::Full | Pace::Ramping { .. } => until,
        };
        *self = Pace::Paused { until };
    }

    /// The pause does not count any more.
    pub(super) fn end_pause(&mut self) {
        *self = Pace::Full;
    }

    /// When the pause ends, while it lasts.
    pub(super) fn paused_until(self) -> Option<Timestamp> {
        match self {
            Pace::Paused { until } => Some(until),
            Pace::Full | Pace::Ramping { .. } => None,
        }
    }

    pub(super) fn end_pause_if_over(&mut self, now: Timestamp) {
        if let Pace::Paused { until } = *self
            && until <= now
        {
            *self = Pace::Ramping { at_once: 1 };
        }
    }

    /// An attempt has ended; `limit` is the endpoint's limit of attempts at the same time.
    pub(super) fn note_attempt(&mut self, end: AttemptEnd, limit: usize) {
        // An attempt that began before a pause says nothing about what follows the pause.
        let Pace::Ramping { at_once } = *self else { return };
        *self = match end {
            AttemptEnd::Succeeded if at_once + 1 >= limit => Pace::Full,
            AttemptEnd::Succeeded => Pace::Ramping { at_once: at_once + 1 },
            AttemptEnd::Failed => Pace::Ramping { at_once: (at_once / 2).max(1) },
        };
    }

    /// How many more may begin beside those under way.
    pub(super) fn room(self, under_way: usize) -> usize {
        match self {
            Pace::Full => usize::MAX,
            Pace::Paused { .. } => 0,
            Pace::Ramping { at_once } => at_once.saturating_sub(under_way),
        }
    }

    /// When an attempt that is due at `due` may begin. None: when another has ended.
    pub(super) fn next(self, due: Timestamp, under_way: usize) -> Option<Timestamp> {
        match self {
            Pace::Full => Some(due),
            Pace::Paused { until } => Some(due.max(until)),
            Pace::Ramping { .. } => (self.room(under_way) > 0).then_some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_pause_that_ends_last_counts() {
        let mut pace = Pace::default();
        pace.pause(at(20));
        pace.pause(at(5));
        assert_eq!(pace, Pace::Paused { until: at(20) });
        pace.end_pause_if_over(at(19));
        assert_eq!(pace.room(0), 0);
        pace.end_pause_if_over(at(20));
        assert_eq!((pace.room(0), pace.room(1)), (1, 0));
        pace.pause(at(21));
        assert_eq!(pace.room(0), 0, "the probe was answered in the same way");
    }

    #[test]
    fn the_number_at_the_same_time_doubles_with_every_round_trip() {
        let mut pace = Pace::Ramping { at_once: 1 };
        let mut rounds = Vec::new();
        while pace != Pace::Full {
            let round = pace.room(0);
            rounds.push(round);
            (0..round).for_each(|_| pace.note_attempt(AttemptEnd::Succeeded, 64));
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn failures_halve_it_and_leave_one() {
        let mut pace = Pace::Ramping { at_once: 9 };
        pace.note_attempt(AttemptEnd::Failed, 64);
        assert_eq!(pace, Pace::Ramping { at_once: 4 });
        (0..9).for_each(|_| pace.note_attempt(AttemptEnd::Failed, 64));
        assert_eq!(pace, Pace::Ramping { at_once: 1 });
    }

    #[test]
    fn attempts_from_before_a_pause_neither_end_nor_slow_it() {
        let mut pace = Pace::Paused { until: at(20) };
        pace.note_attempt(AttemptEnd::Succeeded, 64);
        pace.note_attempt(AttemptEnd::Failed, 64);
        assert_eq!(pace, Pace::Paused { until: at(20) });
    }
}

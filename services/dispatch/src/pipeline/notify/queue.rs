//! The queue of notifications: at most one under way for each channel, a limited number in all.
//! Pure.
//!
//! Decision: docs/decisions/one-due-time-for-each-channel.md

use std::collections::{BTreeSet, HashMap, HashSet};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::ChannelId;
use keeptrusts_webhooks_domain::notification::MAX_RETRY_WAIT;

/// The channels with waiting notifications, each with the earliest due time. The notifications
/// themselves stay in the table.
#[derive(Debug)]
pub(crate) struct NotificationQueue {
    due: HashMap<ChannelId, Timestamp>,
    by_time: BTreeSet<(Timestamp, ChannelId)>,
    under_way: HashSet<ChannelId>,
    at_once: usize,
}

impl NotificationQueue {
    /// At most `at_once` channels are under way at the same time.
    pub(crate) fn new(at_once: usize) -> NotificationQueue {
        NotificationQueue {
            due: HashMap::new(),
            by_time: BTreeSet::new(),
            under_way: HashSet::new(),
            at_once,
        }
    }

    /// A notification of the channel is due at `time`.
    pub(crate) fn schedule(&mut self, channel: ChannelId, time: Timestamp) {
        let known = self.due.get(&channel).copied();
        if known.is_some_and(|known| known <= time) {
            return;
        }
        if let Some(known) = known {
            self.by_time.remove(&(known, channel));
        }
        self.due.insert(channel, time);
        self.by_time.insert((time, channel));
    }

    /// Takes the next channel that is due. It is under way until [`NotificationQueue::done`].
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<ChannelId> {
        let (time, channel) = self.next().filter(|(time, _)| *time <= now)?;
        self.by_time.remove(&(time, channel));
        self.due.remove(&channel);
        self.under_way.insert(channel);
        Some(channel)
    }

    /// The channel is no longer under way.
    pub(crate) fn done(&mut self, channel: ChannelId) {
        self.under_way.remove(&channel);
    }

    /// When [`NotificationQueue::take`] will return a channel. None: not before a `schedule` or a
    /// `done`.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        self.next().map(|(time, _)| time)
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    fn next(&self) -> Option<(Timestamp, ChannelId)> {
        if self.under_way.len() >= self.at_once {
            return None;
        }
        // Skips those that are under way, which are few.
        self.by_time.iter().copied().find(|(_, channel)| !self.under_way.contains(channel))
    }
}

/// The due time of a notification whose row says `due_time`. No notification waits longer than
/// [`MAX_RETRY_WAIT`]: one that seems to was written when a clock was ahead, and is due now.
pub(crate) fn plausible_due_time(due_time: Timestamp, now: Timestamp) -> Timestamp {
    let latest = now.checked_add(MAX_RETRY_WAIT).unwrap_or(Timestamp::MAX);
    if due_time > latest { now } else { due_time }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    fn channel(number: u128) -> ChannelId {
        ChannelId::new(Ulid(number))
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_channel_has_one_turn_at_a_time_and_others_go_before_it() {
        let mut queue = NotificationQueue::new(16);
        queue.schedule(channel(1), time(10));
        queue.schedule(channel(1), time(5));
        queue.schedule(channel(1), time(7));
        queue.schedule(channel(2), time(20));
        assert_eq!((queue.alarm(), queue.take(time(4))), (Some(time(5)), None));
        assert_eq!(queue.take(time(5)), Some(channel(1)));
        queue.schedule(channel(1), time(6));
        assert_eq!(queue.alarm(), Some(time(20)), "the first is under way");
        assert_eq!(queue.take(time(30)), Some(channel(2)));
        assert_eq!(queue.take(time(30)), None);
        queue.done(channel(1));
        assert_eq!(queue.take(time(30)), Some(channel(1)));
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let mut queue = NotificationQueue::new(2);
        (0..5).for_each(|number| queue.schedule(channel(number), time(0)));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(time(1))).collect();
        assert_eq!((taken.len(), queue.under_way(), queue.alarm()), (2, 2, None));
        queue.done(taken[0]);
        assert_eq!(queue.take(time(1)), Some(channel(2)));
    }
    #[test]
    fn a_due_time_that_no_notification_can_have_is_now() {
        let now = time(1_000_000);
        let six_hours = 6 * 3_600;
        assert_eq!(plausible_due_time(time(999_000), now), time(999_000));
        assert_eq!(
            plausible_due_time(time(1_000_000 + six_hours), now),
            time(1_000_000 + six_hours)
        );
        assert_eq!(plausible_due_time(time(1_000_001 + six_hours), now), now);
    }
}

//! Limits on the mail that is sent for an organization. A user who may create channels can make the
//! operator's server write to anybody, and a server that is abused in this way loses its reputation.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The messages and the recipients that an organization may have in any minute and in any 24 hours.
/// Tests and retries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimits {
    /// Messages in a minute.
    pub messages_per_minute: u32,
    /// Recipients in a minute. At least as many as one channel may have.
    pub recipients_per_minute: u32,
    /// Messages in 24 hours.
    pub messages_per_day: u32,
    /// Recipients in 24 hours. At least as many as one channel may have.
    pub recipients_per_day: u32,
}

impl Default for MailLimits {
    fn default() -> Self {
        MailLimits {
            messages_per_minute: 20,
            recipients_per_minute: 100,
            messages_per_day: 500,
            recipients_per_day: 2_000,
        }
    }
}

/// The attempts to send one mail, as the table of notifications holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailAttempts {
    /// When the last attempt began.
    pub time: Timestamp,
    /// The number of attempts, at least a minute apart.
    pub messages: u32,
    /// The recipients of each attempt.
    pub recipients: u32,
}

/// The mail that was sent for an organization in the last 24 hours: times and recipients, in the order
/// of time.
#[derive(Debug, Clone, Default)]
pub struct MailUsage {
    sent: VecDeque<(Timestamp, u32)>,
}

impl MailUsage {
    /// The usage that the table says. It holds the time of the last attempt only, so earlier attempts
    /// count as if they had been made a minute before.
    pub fn of(sent: impl IntoIterator<Item = MailAttempts>) -> MailUsage {
        let mut attempts = Vec::new();
        for MailAttempts { time, messages, recipients } in sent {
            let before = time.checked_sub(MINUTE).unwrap_or(Timestamp::MIN);
            attempts.extend((1..messages).map(|_| (before, recipients)));
            attempts.push((time, recipients));
        }
        attempts.sort_unstable();
        MailUsage { sent: attempts.into() }
    }

    /// Counts a mail that is sent now, and drops what is older than 24 hours.
    pub fn note(&mut self, now: Timestamp, recipients: u32) {
        while self.sent.front().is_some_and(|(time, _)| after(*time, DAY) <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back((now, recipients));
    }

    /// When a message to `recipients` recipients may be sent. `now` if it may be sent at once.
    pub fn free_at(&self, now: Timestamp, recipients: u32, limits: &MailLimits) -> Timestamp {
        let MailLimits { messages_per_minute, recipients_per_minute, .. } = *limits;
        let minute = self.fits(now, recipients, MINUTE, messages_per_minute, recipients_per_minute);
        let MailLimits { messages_per_day, recipients_per_day, .. } = *limits;
        let day = self.fits(now, recipients, DAY, messages_per_day, recipients_per_day);
        minute.max(day)
    }

    /// When a message fits into the limits of one window: when the newest mail that must leave the
    /// window first has left it.
    fn fits(
        &self,
        now: Timestamp,
        recipients: u32,
        window: Duration,
        max_messages: u32,
        max_recipients: u32,
    ) -> Timestamp {
        let (mut messages, mut all) = (1, recipients);
        for (time, count) in self.sent.iter().rev() {
            let leaves = after(*time, window);
            if leaves <= now {
                break;
            }
            messages += 1;
            all = all.saturating_add(*count);
            if messages > max_messages || all > max_recipients {
                return leaves;
            }
        }
        now
    }

    /// The time since which sent mail counts: 24 hours before `now`.
    pub fn counts_since(now: Timestamp) -> Timestamp {
        now.checked_sub(DAY).unwrap_or(Timestamp::MIN)
    }
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MailLimits = MailLimits {
        messages_per_minute: 3,
        recipients_per_minute: 20,
        messages_per_day: 5,
        recipients_per_day: 50,
    };

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn sent(mails: &[(i64, u32)]) -> MailUsage {
        let mut usage = MailUsage::default();
        mails.iter().for_each(|(second, recipients)| usage.note(time(*second), *recipients));
        usage
    }

    #[test]
    fn messages_in_a_minute_are_limited() {
        let usage = sent(&[(0, 1), (10, 1), (20, 1)]);
        assert_eq!(usage.free_at(time(30), 1, &LIMITS), time(60), "the first one leaves");
        assert_eq!(usage.free_at(time(60), 1, &LIMITS), time(60));
        assert_eq!(sent(&[(0, 1), (10, 1)]).free_at(time(30), 1, &LIMITS), time(30));
    }

    #[test]
    fn recipients_in_a_minute_are_limited() {
        let usage = sent(&[(0, 9), (10, 9)]);
        assert_eq!(usage.free_at(time(30), 2, &LIMITS), time(30));
        assert_eq!(usage.free_at(time(30), 3, &LIMITS), time(60));
        assert_eq!(usage.free_at(time(30), 20, &LIMITS), time(70), "both must have left");
    }

    #[test]
    fn a_day_has_limits_of_its_own() {
        let day = DAY.as_secs() as i64;
        let usage = sent(&[(0, 1), (100, 1), (200, 1), (300, 1), (400, 1)]);
        assert_eq!(usage.free_at(time(1_000), 1, &LIMITS), time(day));
        assert_eq!(usage.free_at(time(day), 1, &LIMITS), time(day));
        let usage = sent(&[(0, 20), (100, 20)]);
        assert_eq!(usage.free_at(time(1_000), 10, &LIMITS), time(1_000));
        assert_eq!(usage.free_at(time(1_000), 11, &LIMITS), time(day));
    }

    #[test]
    fn earlier_attempts_of_a_mail_count() {
        let usage = MailUsage::of([
            MailAttempts { time: time(600), messages: 4, recipients: 1 },
            MailAttempts { time: time(500), messages: 1, recipients: 1 },
        ]);
        assert_eq!(usage.free_at(time(601), 1, &LIMITS), time(500 + DAY.as_secs() as i64));
    }

    #[test]
    fn mail_older_than_a_day_does_not_count() {
        let mut usage = sent(&[(0, 1), (10, 1)]);
        usage.note(time(DAY.as_secs() as i64 + 5), 1);
        assert_eq!(usage.sent.len(), 2);
    }
}

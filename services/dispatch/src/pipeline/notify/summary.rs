//! The weekly summary: once, on Mondays at 00:00 UTC, whoever owns the shard then.
//!
//! A week ends by the calendar, which the steady clock does not know: it may differ from every wall
//! clock. So an owner whose wall clock was ahead when it began summarizes a week too early, but
//! only once, because the summary's id consists of the channel's and the week's.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::health::{last_week, week_of};
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Stream, Version};
use keeptrusts_webhooks_domain::notification::{
    NewNotification, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_store::queries::health::summarize;
use keeptrusts_webhooks_store::{AppendError, ExpectedVersion, NewRecord, Refusal, StoreError};

use super::stage::{NOTIFICATIONS, Notify};
use crate::pipeline::failures::{DATABASE_BACKOFF, OnDefect, StageEnded};

/// How long after its end a week is still summarized, if there was no owner on Monday.
const CATCH_UP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// When the current week ends, and the end of the last one if it may still have to be summarized.
pub(super) fn weeks(now: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let ended = last_week(now).end;
    let latest = ended.checked_add(CATCH_UP).unwrap_or(ended);
    (week_of(now).end, (now < latest).then_some(ended))
}

impl Notify {
    /// Summarizes the week that has ended, if one has.
    pub(super) async fn summarize_if_due(&mut self) -> Result<(), StageEnded> {
        let now = self.now();
        if now >= self.next_week {
            (self.next_week, self.week_to_summarize) = weeks(now);
        }
        let Some(week_end) = self.week_to_summarize.take() else { return Ok(()) };
        for (organization, channels) in self.channel_index.summary_channels(week_end) {
            self.summarize(&organization, channels, week_end).await?;
        }
        Ok(())
    }

    async fn summarize(
        &mut self,
        organization: &OrganizationId,
        channels: Vec<ChannelId>,
        week_end: Timestamp,
    ) -> Result<(), StageEnded> {
        let new = || self.new_summaries(organization, &channels, week_end);
        let due = self.shard.read("cannot summarize a week", OnDefect::GiveUp, new).await;
        for (id, new) in due {
            let (channel, due_time) = (new.channel_id, new.due_time);
            let record = NewRecord {
                stream: Stream::Notification(id),
                // There is one id for each channel and week: a second summary is refused.
                expected: ExpectedVersion::Exactly(Version(0)),
                fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
            };
            let operation = self.operation(organization, vec![record], channel.to_string(), None);
            let mut backoff = DATABASE_BACKOFF;
            loop {
                let number = self.shard.lease.shard();
                match self.shard.log.append(number, operation.clone()).await {
                    Ok(_) | Err(AppendError::Refused(Refusal::StaleVersion { .. })) => break,
                    Err(error) => {
                        self.shard.wait_or_end(NOTIFICATIONS, &error, &mut backoff).await?;
                    }
                }
            }
            self.queue.schedule(channel, due_time);
        }
        Ok(())
    }

    /// The summaries that do not exist yet.
    async fn new_summaries(
        &self,
        organization: &OrganizationId,
        channels: &[ChannelId],
        week_end: Timestamp,
    ) -> Result<Vec<(NotificationId, NewNotification)>, StoreError> {
        let (store, number) = (self.shard.log.store(), self.shard.lease.shard());
        let mut missing = Vec::new();
        for channel in channels {
            let id = NotificationId::of_week(*channel, week_end);
            if store.notification(number, organization, id).await?.is_none() {
                missing.push((id, *channel));
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let week = last_week(week_end);
        let sums = store.attempt_sums(number, organization, week.clone()).await?;
        let summary = summarize(week.clone(), &sums);
        let due_time = self.now();
        let new = |(id, channel_id)| {
            let new = NewNotification {
                channel_id,
                notification_type: NotificationType::WeeklySummary,
                endpoint_id: None,
                delivery_id: None,
                count: 1,
                since: week.start,
                reason: String::new(),
                due_time,
                summary: Some(summary.clone()),
                incident: None,
            };
            (id, new)
        };
        Ok(missing.into_iter().map(new).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn a_week_is_summarized_when_it_ends_and_for_three_days_after() {
        let (next, due) = weeks(time("2026-04-20T00:00:00Z"));
        assert_eq!(next, time("2026-04-27T00:00:00Z"));
        assert_eq!(due, Some(time("2026-04-20T00:00:00Z")));
        let (_, due) = weeks(time("2026-04-22T23:59:59Z"));
        assert_eq!(due, Some(time("2026-04-20T00:00:00Z")));
        let (next, due) = weeks(time("2026-04-23T00:00:00Z"));
        assert_eq!((next, due), (time("2026-04-27T00:00:00Z"), None));
    }
}

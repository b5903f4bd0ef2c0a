//! Records notifications: that they are raised, and the outcomes of sending them.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::{NewNotification, NotificationFact};
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, Record, new_ulid};
use tokio::sync::mpsc;

use super::cause::NotificationCause;
use super::decisions::Decision;
use super::relevance::is_stopped_by_hand;
use super::send_decision::SendDecision;
use super::sending::{self, DELETED, DueNotification, FinishedSend, SendProgress};
use super::stage::{NOTIFICATIONS, Notify};
use crate::metrics;
use crate::pipeline::failures::{AppendPolicy, DATABASE_BACKOFF, OnDefect, StageEnded, Streams};

/// The outcome of a notification and the health of its channel, which somebody may change
/// meanwhile.
const OUTCOMES: AppendPolicy = AppendPolicy { streams: Streams::Shared, ..NOTIFICATIONS };

impl Notify {
    /// Records what follows from causes in one organization, in one operation.
    pub(super) async fn raise_part(
        &mut self,
        organization: &OrganizationId,
        causes: &[NotificationCause],
    ) -> Result<(), StageEnded> {
        let Some(last) = causes.last() else { return Ok(()) };
        let now = self.now();
        let new_id = || NotificationId::new(new_ulid(now));
        let is_stopped_by_hand = |id| {
            let target = self.shard.targets.get(id);
            target.is_some_and(|target| is_stopped_by_hand(&target.endpoint))
        };
        let decisions = self.channel_index.decide(causes, now, is_stopped_by_hand, new_id);
        let correlation = last.endpoint_id.to_string();
        self.record_decisions(organization, decisions, last.position, correlation, now).await
    }

    /// Closes a channel's incidents at its old destination, if a record changes or deletes it.
    pub(super) async fn close_incidents_of_old_destination(
        &mut self,
        id: ChannelId,
        record: &Record,
    ) -> Result<(), StageEnded> {
        let now = self.now();
        let new_id = || NotificationId::new(new_ulid(now));
        let decisions = self.channel_index.close_incidents(id, record, now, new_id);
        let (organization, position) = (&record.organization_id, record.position);
        self.record_decisions(organization, decisions, position, id.to_string(), now).await
    }

    async fn record_decisions(
        &mut self,
        organization: &OrganizationId,
        decisions: Vec<Decision>,
        cause: Position,
        correlation: String,
        now: Timestamp,
    ) -> Result<(), StageEnded> {
        if decisions.is_empty() {
            return Ok(());
        }
        let records = decisions.iter().map(|decision| NewRecord {
            stream: Stream::Notification(decision.notification_id),
            expected: match decision.fact {
                NotificationFact::Raised(_) => ExpectedVersion::New,
                _ => ExpectedVersion::Any,
            },
            fact: Fact::Notification(decision.fact.clone()),
        });
        let operation = self.operation(organization, records.collect(), correlation, Some(cause));
        self.shard.append(NOTIFICATIONS, operation).await?;
        self.channel_index.recorded(organization, &decisions, cause, now);
        for decision in decisions {
            if let NotificationFact::Raised(new) = decision.fact {
                self.queue.schedule(decision.channel_id, new.due_time);
            }
        }
        Ok(())
    }

    /// Continues with a notification that is due, or records its outcome.
    pub(super) async fn conclude(
        &mut self,
        progress: SendProgress,
        to_record: &mpsc::Sender<SendProgress>,
    ) -> Result<(), StageEnded> {
        match progress {
            SendProgress::NoneWaiting(channel) | SendProgress::Stopped(channel) => {
                self.queue.done(channel);
            }
            SendProgress::NotDue(channel, due_time) => {
                self.queue.done(channel);
                self.queue.schedule(channel, due_time);
            }
            SendProgress::Due(due) => match self.decide_send(&due) {
                SendDecision::Send(destination) => {
                    sending::spawn_send(&self.shard, *due, destination, to_record.clone());
                }
                SendDecision::Withdraw(reason) => self.withdraw(&due, reason).await?,
                SendDecision::Wait(until) => {
                    let channel = due.notification.new.channel_id;
                    self.queue.done(channel);
                    self.queue.schedule(channel, until);
                }
            },
            SendProgress::Finished(finished) => self.record(*finished).await?,
        }
        Ok(())
    }

    async fn withdraw(&mut self, due: &DueNotification, reason: String) -> Result<(), StageEnded> {
        let DueNotification { notification, next_due_time, .. } = due;
        let channel_id = notification.new.channel_id;
        let record = NewRecord {
            stream: Stream::Notification(notification.id),
            expected: ExpectedVersion::Any,
            fact: Fact::Notification(NotificationFact::Withdrawn { reason }),
        };
        let organization = &notification.organization_id;
        let operation = self.operation(organization, vec![record], channel_id.to_string(), None);
        self.shard.append(NOTIFICATIONS, operation).await?;
        self.queue.done(channel_id);
        self.channel_index.note_given_up(notification);
        next_due_time.iter().for_each(|time| self.queue.schedule(channel_id, *time));
        Ok(())
    }

    async fn record(&mut self, finished: FinishedSend) -> Result<(), StageEnded> {
        let channel_id = finished.notification.new.channel_id;
        let (fact, remainder, cause) = self.outcome(&finished);
        let mut known = finished.channel.clone();
        let mut backoff = DATABASE_BACKOFF;
        loop {
            let mut records = vec![NewRecord {
                stream: Stream::Notification(finished.notification.id),
                expected: ExpectedVersion::Any,
                fact: Fact::Notification(fact.clone()),
            }];
            records.extend(remainder.clone().map(|(id, new)| NewRecord {
                stream: Stream::Notification(id),
                expected: ExpectedVersion::New,
                fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
            }));
            records.extend(known.as_ref().and_then(|channel| health(channel, &finished)));
            let organization = &finished.notification.organization_id;
            let correlation = channel_id.to_string();
            let operation = self.operation(organization, records, correlation, cause);
            let number = self.shard.lease.shard();
            match self.shard.log.append(number, operation).await {
                Ok(_) => break,
                Err(error) => {
                    self.shard.wait_or_end(OUTCOMES, &error, &mut backoff).await?;
                    let store = self.shard.log.store();
                    let read = || store.channel(number, organization, channel_id);
                    known = self.shard.read("cannot read a channel", OnDefect::GiveUp, read).await;
                }
            }
        }
        self.note_recorded(&finished, &fact, remainder);
        Ok(())
    }

    /// The outcome's fact, and the notification that is raised together with it, with its cause.
    fn outcome(
        &self,
        finished: &FinishedSend,
    ) -> (NotificationFact, Option<(NotificationId, NewNotification)>, Option<Position>) {
        let FinishedSend { notification, attempt, end_time, error, .. } = finished;
        let attempt = attempt.clone();
        match error {
            None => {
                let fact = NotificationFact::Sent { attempt, count: notification.new.count };
                let remainder = self.channel_index.remainder(notification, *end_time);
                let id = NotificationId::new(new_ulid(*end_time));
                let cause = remainder.as_ref().map(|(_, cause)| *cause);
                (fact, remainder.map(|(new, _)| (id, new)), cause)
            }
            Some(error) => {
                // There was no channel to send it to.
                let is_gone = finished.kind.is_none();
                let next = notification.next_attempt_time(attempt.number, *end_time);
                let next_attempt_time = next.filter(|_| !is_gone);
                let error = error.clone();
                (NotificationFact::Failed { attempt, error, next_attempt_time }, None, None)
            }
        }
    }

    fn note_recorded(
        &mut self,
        finished: &FinishedSend,
        fact: &NotificationFact,
        remainder: Option<(NotificationId, NewNotification)>,
    ) {
        let FinishedSend { notification, kind, end_time, next_due_time, .. } = finished;
        let channel_id = notification.new.channel_id;
        let kind = *kind;
        self.queue.done(channel_id);
        let mut due = vec![*next_due_time];
        match fact {
            NotificationFact::Sent { .. } => {
                due.push(remainder.as_ref().map(|(_, new)| new.due_time));
                let remainder = remainder.map(|(id, new)| (id, new.count));
                self.channel_index.sent(notification, *end_time, remainder);
                metrics::count_notification(kind, metrics::NotificationResult::Sent);
            }
            NotificationFact::Failed { next_attempt_time, error, .. } => {
                due.push(*next_attempt_time);
                if next_attempt_time.is_none() {
                    self.channel_index.note_given_up(notification);
                }
                if error != DELETED {
                    metrics::count_notification(kind, metrics::NotificationResult::Failed);
                    let notification_id = notification.id;
                    tracing::warn!(%channel_id, %notification_id, error, "a channel could not be told");
                }
            }
            NotificationFact::Raised(_)
            | NotificationFact::Counted { .. }
            | NotificationFact::Withdrawn { .. } => {}
        }
        due.into_iter().flatten().for_each(|time| self.queue.schedule(channel_id, time));
    }
}

/// Records a channel's health only when it changes, with the cause.
fn health(channel: &Channel, finished: &FinishedSend) -> Option<NewRecord> {
    let command = match &finished.error {
        None => ChannelCommand::NoteSuccess,
        Some(reason) => ChannelCommand::NoteFailure { reason: reason.clone() },
    };
    // A channel that was deleted has no health.
    let fact = channel.decide(command, None).ok()??;
    Some(NewRecord::following(channel, fact))
}

//! What is recorded of notifications: that they are raised, and what came of sending them.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::{Channel, ChannelCommand};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::{NewNotification, NotificationFact};
use keeptrusts_webhooks_store::{Expected, NewRecord, Operation, Record, new_ulid};
use tokio::sync::mpsc;

use super::courier::{self, DELETED, Due, Tried, Turn};
use super::decisions::Decision;
use super::happening::Happening;
use super::judge::Judgement;
use super::verdict::is_left_alone;
use super::{NOTIFICATIONS, Notify};
use crate::metrics;
use crate::pipeline::failures::{Append, DATABASE_BACKOFF, Ended, OnDefect, Streams};

/// What came of a notification, and of its channel's health: somebody may change the channel
/// meanwhile.
const OUTCOMES: Append = Append { streams: Streams::Shared, ..NOTIFICATIONS };

impl Notify {
    /// Records what follows from happenings in one organization, all at once.
    pub(super) async fn raise_part(
        &mut self,
        organization: &OrganizationId,
        happenings: &[Happening],
    ) -> Result<(), Ended> {
        let Some(last) = happenings.last() else { return Ok(()) };
        let now = self.now();
        let new_id = || NotificationId::new(new_ulid(now));
        let is_left_alone = |id| {
            let receiver = self.shard.receivers.get(id);
            receiver.is_some_and(|receiver| is_left_alone(&receiver.endpoint))
        };
        let decisions = self.desk.decide(happenings, now, is_left_alone, new_id);
        let correlation = last.endpoint_id.to_string();
        self.record_decisions(organization, decisions, last.position, correlation, now).await
    }

    /// Closes the incidents of a channel that leads somewhere else after a record, or nowhere.
    pub(super) async fn close_what_is_left_behind(
        &mut self,
        id: ChannelId,
        record: &Record,
    ) -> Result<(), Ended> {
        let now = self.now();
        let new_id = || NotificationId::new(new_ulid(now));
        let decisions = self.desk.leaves_behind(id, record, now, new_id);
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
    ) -> Result<(), Ended> {
        if decisions.is_empty() {
            return Ok(());
        }
        let records = decisions.iter().map(|decision| NewRecord {
            stream: Stream::Notification(decision.notification_id),
            expected: match decision.fact {
                NotificationFact::Raised(_) => Expected::New,
                _ => Expected::Any,
            },
            fact: Fact::Notification(decision.fact.clone()),
        });
        let operation = self.operation(organization, records.collect(), correlation, Some(cause));
        self.shard.append(NOTIFICATIONS, operation).await?;
        self.desk.recorded(organization, &decisions, cause, now);
        for decision in decisions {
            if let NotificationFact::Raised(new) = decision.fact {
                self.turns.note(decision.channel_id, new.due_time);
            }
        }
        Ok(())
    }

    /// Goes on with a channel's turn, or records what came of it.
    pub(super) async fn conclude(
        &mut self,
        turn: Turn,
        to_record: &mpsc::Sender<Turn>,
    ) -> Result<(), Ended> {
        match turn {
            Turn::Nothing(channel) => self.turns.done(channel),
            Turn::NotYet(channel, due_time) => {
                self.turns.done(channel);
                self.turns.note(channel, due_time);
            }
            Turn::Due(due) => match self.judge(&due) {
                Judgement::Send(destination) => {
                    courier::go_on(&self.shard, *due, destination, to_record.clone());
                }
                Judgement::Withdraw(reason) => self.withdraw(&due, reason).await?,
                Judgement::Wait(until) => {
                    let channel = due.notification.new.channel_id;
                    self.turns.done(channel);
                    self.turns.note(channel, until);
                }
            },
            Turn::Tried(tried) => self.record(*tried).await?,
        }
        Ok(())
    }

    async fn withdraw(&mut self, due: &Due, reason: String) -> Result<(), Ended> {
        let Due { notification, next_due_time, .. } = due;
        let channel_id = notification.new.channel_id;
        let record = NewRecord {
            stream: Stream::Notification(notification.id),
            expected: Expected::Any,
            fact: Fact::Notification(NotificationFact::Withdrawn { reason }),
        };
        let organization = &notification.organization_id;
        let operation = self.operation(organization, vec![record], channel_id.to_string(), None);
        self.shard.append(NOTIFICATIONS, operation).await?;
        self.turns.done(channel_id);
        self.desk.given_up(notification);
        next_due_time.iter().for_each(|time| self.turns.note(channel_id, *time));
        Ok(())
    }

    async fn record(&mut self, tried: Tried) -> Result<(), Ended> {
        let channel_id = tried.notification.new.channel_id;
        let (fact, left_over, cause) = self.outcome(&tried);
        let mut known = tried.channel.clone();
        let mut backoff = DATABASE_BACKOFF;
        loop {
            let mut records = vec![NewRecord {
                stream: Stream::Notification(tried.notification.id),
                expected: Expected::Any,
                fact: Fact::Notification(fact.clone()),
            }];
            records.extend(left_over.clone().map(|(id, new)| NewRecord {
                stream: Stream::Notification(id),
                expected: Expected::New,
                fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
            }));
            records.extend(known.as_ref().and_then(|channel| health(channel, &tried)));
            let organization = &tried.notification.organization_id;
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
        self.note_recorded(&tried, &fact, left_over);
        Ok(())
    }

    /// What is recorded of the notification, and what is raised with it.
    fn outcome(
        &self,
        tried: &Tried,
    ) -> (NotificationFact, Option<(NotificationId, NewNotification)>, Option<Position>) {
        let Tried { notification, attempt, end_time, error, .. } = tried;
        let attempt = attempt.clone();
        match error {
            None => {
                let fact = NotificationFact::Sent { attempt, count: notification.new.count };
                let left_over = self.desk.left_over(notification, *end_time);
                let id = NotificationId::new(new_ulid(*end_time));
                let cause = left_over.as_ref().map(|(_, cause)| *cause);
                (fact, left_over.map(|(new, _)| (id, new)), cause)
            }
            Some(error) => {
                // Then there was nowhere to send it.
                let is_gone = tried.kind.is_none();
                let next = notification.next_attempt_time(attempt.number, *end_time);
                let next_attempt_time = next.filter(|_| !is_gone);
                let error = error.clone();
                (NotificationFact::Failed { attempt, error, next_attempt_time }, None, None)
            }
        }
    }

    fn note_recorded(
        &mut self,
        tried: &Tried,
        fact: &NotificationFact,
        left_over: Option<(NotificationId, NewNotification)>,
    ) {
        let Tried { notification, kind, end_time, next_due_time, .. } = tried;
        let channel_id = notification.new.channel_id;
        let kind = *kind;
        self.turns.done(channel_id);
        let mut due = vec![*next_due_time];
        match fact {
            NotificationFact::Sent { .. } => {
                due.push(left_over.as_ref().map(|(_, new)| new.due_time));
                let left_over = left_over.map(|(id, new)| (id, new.count));
                self.desk.sent(notification, *end_time, left_over);
                metrics::notified(kind, metrics::Notified::Sent);
            }
            NotificationFact::Failed { next_attempt_time, error, .. } => {
                due.push(*next_attempt_time);
                if next_attempt_time.is_none() {
                    self.desk.given_up(notification);
                }
                if error != DELETED {
                    metrics::notified(kind, metrics::Notified::Failed);
                    let notification_id = notification.id;
                    tracing::warn!(%channel_id, %notification_id, error, "a channel could not be told");
                }
            }
            NotificationFact::Raised(_)
            | NotificationFact::Counted { .. }
            | NotificationFact::Withdrawn { .. } => {}
        }
        due.into_iter().flatten().for_each(|time| self.turns.note(channel_id, time));
    }

    pub(super) fn operation(
        &self,
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        correlation_id: String,
        causation: Option<Position>,
    ) -> Operation {
        let metadata = Metadata { correlation_id, causation, ..Metadata::default() };
        self.shard.operation(organization, records, metadata)
    }

    /// What the stage waits by: a wall clock that does not step. What people are told of when
    /// something happened is the wall clock's to say.
    pub(super) fn now(&self) -> Timestamp {
        self.shard.steady.wall()
    }
}

/// Only the turns of a channel's health are recorded, with what they followed from.
fn health(channel: &Channel, tried: &Tried) -> Option<NewRecord> {
    let command = match &tried.error {
        None => ChannelCommand::NoteSuccess,
        Some(reason) => ChannelCommand::NoteFailure { reason: reason.clone() },
    };
    // A channel that was deleted has no health.
    let fact = channel.decide(command, None).ok()??;
    Some(NewRecord::following(channel, fact))
}
